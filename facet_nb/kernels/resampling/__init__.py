"""Band-limited, shift-free changes of the sampling rate."""
