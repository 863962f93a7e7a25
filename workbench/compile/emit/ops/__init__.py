"""How each operator is written in C: one family a file, found by :mod:`workbench.compile.emit.registry`."""
