"""Walking a pipeline's graph: which steps can run now, and what they get; the same for every executor."""
