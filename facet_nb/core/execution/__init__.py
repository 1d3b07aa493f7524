"""The run: its loop, and what a run adds to it (timeouts, checkpoints, workers)."""
