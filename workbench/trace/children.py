"""Function probes for what joins a trace: children it had, forks, new programs, libraries loaded later.

A process is looked at a moment after it was born (most live shorter than probing them takes) and again while it loads
libraries. Probes stay with it when it executes another program, so a library that the root process has loaded too is
probed from its first call there. Calls before that moment are not seen; how many processes it concerns is said.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .functions import Found, find_functions
from .identity import is_descendant
from .probes import PROBES
from .records import RECORD_FORK, Record
from .sites import MAX_FILES, MAX_JOINS
from .wire import Joined

TICK_SECONDS = 0.1
_FIRST_SECONDS, _CHILD_SECONDS, _ROOT_SECONDS = 0.03, 0.2, 0.5


@dataclass
class _Process:
    due: float
    pause: float
    probed: set[int] = field(default_factory=set)
    """Indexes of files."""


class Children:
    """Keeps function probes where the traced tree goes.

    Parameters
    ----------
    probes
        Names of the trace's probes; where none is of functions, nothing is looked at.
    root
        The process at the root.
    found
        What was probed there when the trace began; grows, and its files stay open until :meth:`close`.
    join
        Takes functions to probe, and their files with a handle of the process as the last.
    """

    def __init__(
        self, probes: tuple[str, ...], root: int, found: Found, join: Callable[[Joined, list[int]], None]
    ) -> None:
        self._probes, self._found, self._join = probes, found, join
        self._processes: dict[int, _Process] = {}
        self._joins, self._refused = 0, 0
        self._probing = any(PROBES[name].functions for name in probes)
        if self._probing:
            now, known = time.monotonic(), {*range(len(found.files))}
            self._processes = {pid: _Process(now, _CHILD_SECONDS) for pid in _descendants(root)}
            self._processes[root] = _Process(now + _ROOT_SECONDS, _ROOT_SECONDS, known)

    def take(self, record: Record) -> None:
        """Learn of a process from a record."""
        if self._probing and record.kind == RECORD_FORK:
            self._processes[record.weight] = _Process(time.monotonic() + _FIRST_SECONDS, _CHILD_SECONDS)

    def look(self) -> None:
        """Probe what is due."""
        now = time.monotonic()
        for pid, process in list(self._processes.items()):
            if process.due <= now:
                process.due = now + process.pause
                self._look_at(pid, process)

    def notes(self) -> Iterator[str]:
        """Yield what the reader of the trace should know."""
        if self._refused:
            yield f"functions of {self._refused:,} more processes are not counted: too many joined the trace"

    def close(self) -> None:
        """Close the files."""
        self._found.close()

    def _look_at(self, pid: int, process: _Process) -> None:
        try:
            handle = os.pidfd_open(pid)
        except OSError:  # it has ended
            del self._processes[pid]
            return
        try:
            find_functions(self._probes, pid, self._found)
            fresh = [number for number in range(len(self._found.files)) if number not in process.probed]
            if fresh:
                self._probe(process, fresh[: MAX_FILES - 1], handle)
        finally:
            os.close(handle)

    def _probe(self, process: _Process, files: list[int], handle: int) -> None:
        if self._joins >= MAX_JOINS:
            self._refused += not process.probed
            process.probed.update(files)
            return
        self._joins += 1
        sites = [
            replace(site, file=files.index(site.file)) for site in self._found.sites if site.file in files
        ]
        self._join(Joined(tuple(sites)), [*(self._found.files[number] for number in files), handle])
        process.probed.update(files)


def _descendants(root: int) -> list[int]:
    everybody = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return [pid for pid in everybody if pid != root and is_descendant(pid, root)]
