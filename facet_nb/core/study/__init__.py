"""A study: one pipeline over many recordings, planned, run and recorded."""
