"""Whether a file is complete, one file for each format."""
