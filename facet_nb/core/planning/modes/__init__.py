"""How a pipeline is cut into stages: one file and one line of the registry for each mode."""
