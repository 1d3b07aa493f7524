"""Artifact templates: averages over epochs, and their subtraction."""
