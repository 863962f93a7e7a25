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

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(ip: InteractiveShell) -> None:
    """Register ``%mlops``, its completion and its views in a running IPython shell.

    Loading twice leaves one of each.
    """
    from .magic import register

    register(ip)


def unload(ip: InteractiveShell) -> None:
    """Take away what :func:`load` registered."""
    from .magic import unregister

    unregister(ip)
