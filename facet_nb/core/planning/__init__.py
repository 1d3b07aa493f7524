"""Planning: from a pipeline and its options to a plan."""
