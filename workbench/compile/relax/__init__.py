"""TVM behind the seam: programs become Relax, Relax becomes machine code.

::

    importing   torch program or ONNX file -> Relax module
    choosing    whose kernel serves which operator, by measurement
    linked      which operators our own kernels serve, and their calls in Relax
    rows        those that walk rows: attention, norms, softmax, GELU
    values      constants and calls in Relax
    external    these kernels (``c/external.c``) as an object file for a target
    targets     our target names as TVM's targets
    lowering    Relax module -> ``model.so`` for a target, and the generated code as text
    loading     ``model.so`` on the small runtime, without the compiler and without torch
    standalone  Relax module -> the same entry points as the backend ternary: no runtime at all
    tuning      schedules found by measuring, inside a budget
    measuring   one batch of them, built and timed in a fork
    records     what was measured, as files for one processor
    package     the one file that imports the wheel, and mends what it gets wrong
"""
