"""Where the time of a compiled model goes, operator by operator, from each backend's own profiler: one file each.

A file's name is the backend's, and it provides ``profile(compiled, feeds, threads, repeats)``, which returns
:class:`~workbench.compile.operator_times.Operator` rows in one layout for all.
"""
