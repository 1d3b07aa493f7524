"""How a plan is run: the loop (base), where batches run (backends), where samples lie (store)."""
