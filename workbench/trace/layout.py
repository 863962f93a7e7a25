"""Where CPython keeps frames and code objects, by version.

The offsets come from CPython's own headers (``offsetof`` over Include/internal); they are fixed within a
minor version. The first group is what ``bpf/stack.bpf.h`` walks, the second what
:mod:`workbench.trace.symbols.python` reads names with.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from dataclasses import dataclass


@dataclass(frozen=True)
class WalkLayout:
    """Offsets of the frame walk, in the order of ``struct python_layout``."""

    interpreters_head: int
    threads_head: int
    thread_next: int
    thread_native_id: int
    thread_frame: int
    cframe_frame: int
    cframe_indirect: int
    frame_code: int
    frame_previous: int
    frame_instruction: int
    frame_owner: int
    code_bytes: int


@dataclass(frozen=True)
class CodeLayout:
    """Offsets inside code objects and strings."""

    filename: int
    qualname: int
    first_line: int
    line_table: int
    ascii_data: int
    wide_data: int


@dataclass(frozen=True)
class Layout:
    """Both groups for one version."""

    walk: WalkLayout
    code: CodeLayout


LAYOUTS = {
    (3, 11): Layout(
        WalkLayout(40, 16, 8, 160, 56, 8, 1, 32, 48, 56, 69, 184), CodeLayout(112, 128, 72, 136, 48, 72)
    ),
    (3, 12): Layout(
        WalkLayout(40, 72, 8, 144, 56, 0, 1, 0, 8, 56, 70, 192), CodeLayout(112, 128, 68, 136, 40, 56)
    ),
    (3, 13): Layout(
        WalkLayout(632, 7344, 8, 160, 72, 0, 0, 0, 8, 56, 70, 200), CodeLayout(112, 128, 68, 136, 40, 56)
    ),
}


def own_layout() -> tuple[Layout | None, str]:
    """Return this interpreter's layout, or None and why it has none.

    Examples
    --------
    >>> layout, why = own_layout()
    >>> (layout is None) == bool(why)
    True
    """
    version = sys.version_info[:2]
    name = f"{sys.implementation.name} {version[0]}.{version[1]}"
    if sys.implementation.name != "cpython" or version not in LAYOUTS:
        return None, f"Python frames of {name} are not supported yet"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return None, f"Python frames of free-threaded {name} are not supported yet"
    return LAYOUTS[version], ""


def own_walk() -> tuple[int, ...]:
    """Return the request's ``python`` field for this process: address of ``_PyRuntime``, then offsets."""
    layout, _ = own_layout()
    if layout is None:
        return ()
    runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    walk = layout.walk
    return runtime, *(getattr(walk, name) for name in walk.__dataclass_fields__)
