"""Modes divide a pipeline into stages: each is one file, and one line of the registry."""
