"""Ways to look at a trace: tables, a flame graph, collapsed stacks, and the report that carries them all."""
