"""Where CPython keeps frames and code objects, by version.

The offsets come from CPython's own headers (``offsetof`` over Include/internal); they are fixed within a
minor version. The first group is what ``bpf/stack.bpf.h`` walks, the second what
:mod:`workbench.trace.symbols.python` reads names with.
"""

from __future__ import annotations

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
