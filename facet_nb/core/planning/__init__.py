"""From a pipeline and its options to a plan."""
