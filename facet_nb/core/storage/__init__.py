"""Where samples lie: memory, scratch files, shared memory."""
