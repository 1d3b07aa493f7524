"""Filters, references, and regression on reference signals."""
