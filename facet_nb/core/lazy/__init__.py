"""Lazy recordings: corrected samples that are computed when they are read."""
