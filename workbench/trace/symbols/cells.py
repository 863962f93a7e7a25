"""From a code object's file name to a notebook cell, and to source text.

IPython compiles cell 3 under a file name of its own (``/tmp/ipykernel_…/….py`` or ``<ipython-input-3-…>``)
and knows which is which; outside IPython only the second form can be recognised.
"""

from __future__ import annotations

import contextlib
import linecache
import re
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

_CLASSIC = re.compile(r"<ipython-input-(\d+)-")
_FORMATTED = re.compile(r"In\s?\[(\d+)\]")
_TEXT_LIMIT = 160


def cell_number(file: str) -> int:
    """Return the execution count of the cell a file name stands for; 0 when it is none.

    Examples
    --------
    >>> cell_number("<ipython-input-3-5f1d>"), cell_number("/usr/lib/python3.11/json/decoder.py")
    (3, 0)
    """
    classic = _CLASSIC.match(file)
    if classic:
        return int(classic[1])
    compiler = getattr(_shell(), "compile", None)
    if compiler is None or not hasattr(compiler, "format_code_name"):
        return 0
    # ("Cell", "In[3]") for a cell, None for anything else: what IPython's own tracebacks show.
    described = compiler.format_code_name(file)
    found = _FORMATTED.search(described[1]) if described else None
    return int(found[1]) if found else 0


def source_line(file: str, line: int) -> str:
    """Return a line of source, stripped and cut to a sensible length; empty when there is none."""
    return linecache.getline(file, line).strip()[:_TEXT_LIMIT] if line > 0 else ""


@contextlib.contextmanager
def keep_code() -> Iterator[None]:
    """While active, keep the code objects of executed cells alive, so that samples of them can be named.

    IPython drops a cell's code as soon as it has run; a sample of a cell shorter than the collector's tick
    would then point to freed memory. Functions a cell defines live on its code, so they are kept as well.
    """
    shell = _shell()
    run = getattr(shell, "run_code", None)
    if shell is None or run is None:
        yield
        return
    kept: list[CodeType] = []
    before = vars(shell).get("run_code")

    async def run_and_keep(code_obj: CodeType, *args: Any, **kwargs: Any) -> Any:
        kept.append(code_obj)
        return await run(code_obj, *args, **kwargs)

    shell.run_code = run_and_keep
    try:
        yield
    finally:
        del shell.run_code
        if before is not None:  # another session, or an extension, had put its own there
            shell.run_code = before


def _shell() -> Any:
    """Return the running IPython shell without importing IPython for those who do not use it."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None
