"""Where calls run: one file and one line of the registry for each backend."""
