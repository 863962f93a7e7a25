"""Arm Ethos-U NPUs: int8 programs become a command stream, in a tool environment of their own.

::

    requirements.txt   what that environment holds, pinned; its pins do not go with the workbench's
    environment        makes it on first use, below the user's cache
    floating           an int8 program as what the NPU's compiler takes
    worker             runs in it: ExecuTorch, Vela, the TOSA reference model
    runner             runs the compiled graph in the TOSA reference model, bit for bit what the NPU computes
"""
