"""Filters and references."""
