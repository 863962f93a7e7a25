"""One module a benchmark: ``run(samples, quick=...)`` measures and adds its samples."""
