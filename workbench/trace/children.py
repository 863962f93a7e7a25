"""Function probes for what joins a trace: children it had, forks, new programs, libraries loaded later.

A file nobody else uses is probed in every process that maps it (:mod:`.reach`), from its first call. Of others, a
process is looked at a moment after it was born (most live shorter than probing them takes) and again while it loads
libraries. Probes stay with it when it executes another program, so a library that the root process has loaded too is
probed from its first call there. How long the calls of which process were not seen is said.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .client import Answer
from .functions import Found, executed_by, find_functions
from .identity import is_descendant
from .probes import PROBES
from .records import RECORD_EXEC, RECORD_FORK, Record
from .sites import MAX_FILES, MAX_JOINS
from .unseen import Unseen
from .wire import Joined

TICK_SECONDS = 0.1
_FIRST_SECONDS, _CHILD_SECONDS, _ROOT_SECONDS = 0.03, 0.2, 0.5


@dataclass
class _Process:
    pid: int
    due: float
    pause: float
    since_ns: int
    """From when on it may have mapped what it had not mapped when it was looked at before."""
    probed: set[int] = field(default_factory=set)
    """Indexes of files."""
    looked: bool = False


@dataclass(frozen=True)
class _Asked:
    """Files to be probed in a process; of those it had mapped, calls since then were not seen."""

    process: _Process
    files: list[int]
    mapped: set[int]
    since_ns: int


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
        Takes functions to probe, and their files with a handle of the process as the last. Each is answered, in turn,
        and so is what was found before: :meth:`hear`.
    """

    def __init__(
        self, probes: tuple[str, ...], root: int, found: Found, join: Callable[[Joined, list[int]], None]
    ) -> None:
        self._probes, self._found, self._join, self._root = probes, found, join, root
        self._of_root: frozenset[bytes] = frozenset()
        self._processes: dict[int, _Process] = {}
        self._joins, self._refused = 0, 0
        self._everywhere: set[int] = set()
        self._unseen = Unseen()
        self._probing = any(PROBES[name].functions for name in probes)
        now, known, began = time.monotonic(), [*range(len(found.files))], time.monotonic_ns()
        own = _Process(root, now + _ROOT_SECONDS, _ROOT_SECONDS, began, {*known})
        self._asked = deque([_Asked(own, known, set(), began)])
        if self._probing:
            descendants = _descendants(root)
            self._processes = {pid: _Process(pid, now, _CHILD_SECONDS, began) for pid in descendants}
            self._processes[root] = own
            self._of_root = executed_by(root)

    def take(self, record: Record) -> None:
        """Learn of a process from a record."""
        if not self._probing:
            return
        if record.kind == RECORD_FORK:
            due = time.monotonic() + _FIRST_SECONDS
            self._processes[record.weight] = _Process(record.weight, due, _CHILD_SECONDS, record.time_ns)
        elif record.kind == RECORD_EXEC and record.pid in self._processes:
            self._processes[record.pid].since_ns = record.time_ns

    def hear(self, answers: deque[Answer]) -> None:
        """Learn what became of functions that were to be probed; empties the queue."""
        while answers:
            self._hear(answers.popleft(), self._asked.popleft())

    def look(self) -> None:
        """Probe what is due."""
        now = time.monotonic()
        for pid, process in list(self._processes.items()):
            if process.due <= now:
                process.due = now + process.pause
                self._look_at(pid, process)

    def notes(self) -> Iterator[str]:
        """Yield what the reader of the trace should know."""
        yield from self._unseen.notes()
        if self._refused:
            yield f"functions of {self._refused:,} more processes are not counted: too many joined the trace"

    def close(self) -> None:
        """Close the files."""
        self._found.close()

    def _hear(self, answer: Answer, asked: _Asked) -> None:
        self._everywhere |= {asked.files[index] for index in answer.everywhere}
        names = {self._found.libraries[number][0] for number in asked.mapped}
        if not answer.probed:
            self._unseen.add_ended()
        elif names:
            self._unseen.add(asked.process.pid, names, answer.time_ns - asked.since_ns)

    def _look_at(self, pid: int, process: _Process) -> None:
        try:
            handle = os.pidfd_open(pid)
        except OSError:  # it has ended
            del self._processes[pid]
            if not process.looked and len(self._everywhere) < len(self._found.files):
                self._unseen.add_ended()
            return
        try:
            now = time.monotonic_ns()
            find_functions(self._probes, pid, self._found)
            fresh = self._usable(pid) - process.probed - self._everywhere
            if fresh:
                self._probe(process, sorted(fresh)[: MAX_FILES - 1], handle)
            process.looked, process.since_ns = True, now
        finally:
            os.close(handle)

    def _usable(self, pid: int) -> set[int]:
        """Return the files that may be probed in a process just looked at: what it or the root executes."""
        mapped = self._found.mapped
        if pid == self._root:
            self._of_root = mapped
        known = enumerate(self._found.libraries)
        return {number for number, (_, identity) in known if identity in mapped or identity in self._of_root}

    def _probe(self, process: _Process, files: list[int], handle: int) -> None:
        process.probed.update(files)
        if self._joins >= MAX_JOINS:
            self._refused += not process.looked
            return
        self._joins += 1
        mapped = {number for number in files if self._found.libraries[number][1] in self._found.mapped}
        self._asked.append(_Asked(process, files, mapped, process.since_ns))
        sites = [
            replace(site, file=files.index(site.file)) for site in self._found.sites if site.file in files
        ]
        self._join(Joined(tuple(sites)), [*(self._found.files[number] for number in files), handle])


def _descendants(root: int) -> list[int]:
    everybody = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return [pid for pid in everybody if pid != root and is_descendant(pid, root)]
