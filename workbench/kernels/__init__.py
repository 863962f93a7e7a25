"""Ternary (1.58-bit) kernels in C, compiled on first use: pack once, multiply on any processor. No torch here.

``c/ternary.h`` documents the C functions; :mod:`.targets` lists the instruction sets.
"""

from .build import SOURCES, compile_command
from .choice import Choice, choose
from .conv import ConvGeometry, conv, pack_conv
from .library import Library, library
from .linear import accumulate, linear
from .packed import PackedTernary, pack
from .targets import TARGETS, Target, target_named

__all__ = [
    "SOURCES",
    "TARGETS",
    "Choice",
    "ConvGeometry",
    "Library",
    "PackedTernary",
    "Target",
    "accumulate",
    "choose",
    "compile_command",
    "conv",
    "library",
    "linear",
    "pack",
    "pack_conv",
    "target_named",
]
