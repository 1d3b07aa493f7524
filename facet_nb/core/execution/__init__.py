"""Execution of a plan: the loop over stages and batches, workers, timeouts, checkpoints."""
