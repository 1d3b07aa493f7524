"""Checks that a file is complete, one module per format."""
