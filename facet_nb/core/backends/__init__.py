"""Backends run calls: each is one file, and one line of the registry."""
