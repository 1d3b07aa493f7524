"""Writers, one file for each format."""
