"""A host program's answers: lines on what was standard output, which nothing else writes to any more."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import IO, Any


class Answers:
    """Takes standard output for itself; whatever a library prints from now on goes to standard error.

    Parameters
    ----------
    out
        Where answers go instead, where one program is several hosts.
    """

    def __init__(self, out: IO[str] | None = None) -> None:
        self._file = os.fdopen(os.dup(1), "w") if out is None else out
        if out is None:
            os.dup2(2, 1)

    def say(self, message: Mapping[str, Any]) -> None:
        """Write one message."""
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more; the store has it
            self._file.write(json.dumps(message) + "\n")
            self._file.flush()
