"""Pure numerics over arrays: numpy, scipy and numba; nothing of ours is imported here."""
