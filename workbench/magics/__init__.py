"""The notebook face: ``%mlops`` and ``%%mlops``. Parses, asks the api, shows; holds no logic of its own.

::

    parser.py      one argparse parser for the magic, the shell command, completion and the docs
    command.py     what a sub-command is, and what a face lends it
    commands/      one file a sub-command: its arguments and the api call they mean
    references.py  what a name in a command stands for: a variable, module:attribute, file.py:attribute
    magic.py       what a shell gets when the extension loads; light
    run.py         runs one line or cell
    cell.py        runs the body of a %%mlops cell
    completion.py  the Tab key

Importing this package costs nothing, and :func:`load` needs no more than IPython has loaded already.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_AFTER_S = 0.1


def load(ip: InteractiveShell) -> None:
    """Register ``%mlops``, its completion and its views in a running IPython shell.

    Loading twice leaves one of each. A moment later the first verb's process is started ahead of it.
    """
    from .magic import register

    register(ip)
    soon = threading.Timer(_AFTER_S, _begin_ahead)
    soon.daemon = True
    soon.start()


def _begin_ahead() -> None:
    """Start the first verb's process ahead of it."""
    from ..pipeline.spare import stay  # here, where nobody waits for the import

    stay()


def unload(ip: InteractiveShell) -> None:
    """Take away what :func:`load` registered."""
    from ..pipeline.spare import leave
    from .magic import unregister

    unregister(ip)
    leave()
