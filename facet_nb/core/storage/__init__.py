"""Storage of samples: memory, scratch files, shared memory."""
