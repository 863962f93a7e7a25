"""A place for something that changes while a command runs: a cell's output, or the lines of a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def live() -> Callable[[Any], None]:
    """Return a function that shows a value in place of the one it showed before."""
    from IPython import get_ipython
    from IPython.display import DisplayHandle

    if hasattr(get_ipython(), "kernel"):
        handle: Any = DisplayHandle()  # type: ignore[no-untyped-call]
        shown: list[Any] = []

        def update(value: Any) -> None:
            (handle.update if shown else handle.display)(value)
            shown.append(value)
            del shown[:-1]

        return update
    return _terminal()


def _terminal() -> Callable[[Any], None]:
    height = 0

    def write(value: Any) -> None:
        nonlocal height
        text = str(value)
        back = f"\x1b[{height}F\x1b[J" if height and sys.stdout.isatty() else ""
        print(back + text, flush=True)
        height = text.count("\n") + 1

    return write
