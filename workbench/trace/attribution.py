"""Which line a stack is charged to, and how a stack reads best."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable, Sequence

from .rows import Frame

NO_PYTHON = Frame("native", "(no Python frames)", "")
_LIBRARY_PARTS = ("site-packages", "dist-packages", "<frozen")
_MAGIC_RUNNER = "workbench/magics/cell.py"
_HANDS_ON = ("Module._wrapped_call_impl", "Module._call_impl")
_STANDARD = sysconfig.get_path("stdlib")


def line_of(stack: Iterable[Frame]) -> Frame:
    """Return the line a stack is charged to.

    The innermost in a notebook cell, else the innermost of the user's own files, else the innermost Python
    line, else :data:`NO_PYTHON`.

    Examples
    --------
    >>> cell, library = Frame("python", "f", "In[3]", 2, 3), Frame("python", "g", "/x/site-packages/g.py", 9)
    >>> line_of([cell, library]).file, line_of([library]).file
    ('In[3]', '/x/site-packages/g.py')
    """
    python = [frame for frame in stack if frame.kind == "python"]
    for choose in (_in_cell, is_own, bool):
        found = next((frame for frame in reversed(python) if choose(frame)), None)
        if found is not None:
            return found
    return NO_PYTHON


def readable(stack: Iterable[Frame]) -> list[Frame]:
    """Return a stack, outermost first, without plumbing.

    What runs a notebook cell is left out (event loop, IPython, the magic that traces), and what only hands a
    call on (``torch.nn.Module.__call__``), unless the stack ends there.

    Examples
    --------
    >>> stack = [Frame("python", "run", "/x/ipykernel/loop.py"), Frame("python", "<module>", "In[3]", 2, 3)]
    >>> [frame.file for frame in readable(stack)]
    ['In[3]']
    """
    frames = list(stack)
    if not frames:
        return []
    magic = max((n for n, frame in enumerate(frames) if frame.file.endswith(_MAGIC_RUNNER)), default=-1)
    first = next((n for n, frame in enumerate(frames) if frame.cell and n > magic), magic + 1)
    return [frame for frame in frames[first:-1] if not _hands_on(frame)] + frames[first:][-1:]


def label(frame: Frame) -> str:
    """Return how a frame reads: ``In[3] line 2`` for cells, function and place for the rest.

    Examples
    --------
    >>> label(Frame("python", "<module>", "In[3]", 2, 3)), label(Frame("native", "sgemm", "libmkl.so"))
    ('In[3] line 2', 'sgemm [libmkl.so]')
    """
    if frame.cell:
        name = "" if frame.name == "<module>" else f" {frame.name}"
        return f"{frame.file} line {frame.line}{name}"
    if frame.kind == "native":
        return f"{frame.name} [{frame.file}]" if frame.file and frame.file != frame.name else frame.name
    return f"{frame.name} ({short(frame.file)}:{frame.line})"


def place(frame: Frame) -> str:
    """Return where a line is: ``In[3] line 2``, ``demo/work.py:7``, or the name of what has no line.

    Examples
    --------
    >>> place(Frame("python", "step", "In[3]", 2, 3)), place(NO_PYTHON)
    ('In[3] line 2', '(no Python frames)')
    """
    if frame is NO_PYTHON or not frame.line:
        return frame.name
    return f"{frame.file} line {frame.line}" if frame.cell else f"{short(frame.file)}:{frame.line}"


def trail(stack: Sequence[Frame], limit: int = 4) -> str:
    """Return the inner end of a stack on one line, innermost last.

    Examples
    --------
    >>> trail([Frame("python", name, "/srv/a.py", 1) for name in "abcde"], 2)
    '… d > e'
    """
    names = [frame.name if frame.name != "<module>" else place(frame) for frame in readable(stack)]
    return ("… " if len(names) > limit else "") + " > ".join(names[-limit:])


def short(file: str) -> str:
    """Return the last two parts of a path."""
    return "/".join(file.rsplit("/", 2)[-2:])


def is_own(frame: Frame) -> bool:
    """Return whether a line is of a cell or of the user's own files, not of a library."""
    if frame is NO_PYTHON or frame.kind != "python":
        return False
    return not frame.file.startswith(_STANDARD) and not any(part in frame.file for part in _LIBRARY_PARTS)


def _hands_on(frame: Frame) -> bool:
    return frame.name in _HANDS_ON and frame.file.endswith("torch/nn/modules/module.py")


def _in_cell(frame: Frame) -> bool:
    return frame.cell > 0
