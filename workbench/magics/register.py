"""Put the magic, its completion and its views into a shell, and take them out again."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell

from .completion import NAME, Completion, matcher
from .magic import MlopsMagics


def register(ip: InteractiveShell) -> None:
    """Register everything; what an earlier call registered is replaced."""
    unregister(ip)
    magics = MlopsMagics(ip)
    MlopsMagics.mlops.__doc__ = magics.parser.format_help()  # what %mlops? shows
    ip.register_magics(magics)
    ip.Completer.custom_matchers.append(matcher(Completion(ip, magics.subparsers)))


def unregister(ip: InteractiveShell) -> None:
    """Remove everything; does nothing in a shell without it."""
    for kind in ("line", "cell"):
        ip.magics_manager.magics[kind].pop(NAME, None)
    matchers = ip.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", "") != NAME]
