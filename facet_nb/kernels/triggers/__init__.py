"""Trigger times: spacing, repetition, the scanner's clock, alignment."""
