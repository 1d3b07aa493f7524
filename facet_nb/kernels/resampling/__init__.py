"""Band-limited changes of the sampling rate without delay."""
