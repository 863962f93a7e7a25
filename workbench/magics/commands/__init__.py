"""The sub-commands, one file each: arguments, and the api call they mean. No logic."""

from __future__ import annotations

from importlib import import_module

from ..command import Command

ORDER = (
    "capture",
    "quantize",
    "prune",
    "compile",
    "sweep",
    "backends",
    "operators",
    "asm",
    "profile",
    "probe",
    "diff",
    "export",
    "run",
    "mirror",
    "push",
    "pull",
    "status",
    "watch",
    "promote",
    "rollback",
    "pause",
    "freeze",
    "unstage",
    "lineage",
    "reproduce",
    "environment",
    "show",
    "compare",
    "runs",
    "track",
    "logs",
    "cancel",
    "resume",
    "gc",
    "verify",
    "key",
    "collector",
    "router",
    "doctor",
)
"""The order of the help page: the way of a model, then upkeep."""


def load_all() -> tuple[Command, ...]:
    """Return every sub-command, in :data:`ORDER`."""
    return tuple(import_module(f".{name}", __name__).COMMAND for name in ORDER)
