"""Low-rank artifact models, and optimal basis sets."""
