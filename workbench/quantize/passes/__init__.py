"""Graph passes, one a file: each takes an :class:`~workbench.quantize.edit.Editor` and rewrites its graph."""
