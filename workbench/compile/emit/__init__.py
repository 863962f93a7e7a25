"""A torch program becomes C for the whole model, and that becomes one shared object.

::

    lower     the program in operators that ops/ knows
    emitter   walks it: every operator becomes a C function, chains of elementwise operators one loop
    plan      which buffers may share memory: the arena
    text      the C file and its header
    build     the target's compiler: one shared object, weights inside
    loader    calls it through ctypes, without torch

``ops/`` holds one family of operators a file, ``runtime/`` the C they call.
"""
