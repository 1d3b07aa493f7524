"""Trigger times: spacing, clock, alignment."""
