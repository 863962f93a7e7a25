"""Where in a file a probe attaches: what a client may ask for, and what the collector makes sure of.

A client names functions by file offset. The file travels as an open descriptor, so no path is followed with
the collector's rights; an offset counts only where the traced process itself has mapped that file for
execution. A client can thereby disturb its own process at worst, as it always could, and those that map its own file
while it traces (:mod:`.reach`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, NoPrivilege
from .probes import PROBES
from .symbols.files import device_and_inode

MAX_FILES = 32
MAX_SITES = 8192
MAX_JOINS = 128
"""How often functions may be probed in processes that join a trace."""
_END = 2**62


@dataclass(frozen=True)
class Site:
    """Functions of one file for one program of a probe.

    Parameters
    ----------
    probe, program
        What runs there.
    file
        Index of the open file.
    offsets
        Bytes from the file's start.
    cookies
        What the program is told at each.
    counters
        File offsets of semaphores, 0: none; empty: none at all.
    """

    probe: str
    program: str
    file: int
    offsets: tuple[int, ...]
    cookies: tuple[int, ...]
    counters: tuple[int, ...] = ()

    def to_json(self) -> list[Any]:
        """Return the form that travels."""
        return [self.probe, self.program, self.file, self.offsets, self.cookies, self.counters]


def parse_sites(value: Any) -> tuple[Site, ...]:
    """Return sites from a client we do not trust.

    Raises
    ------
    InputError
        If anything about them is not exactly as specified.
    """
    if not isinstance(value, list) or len(value) > MAX_FILES * 4:
        raise InputError("sites is not a short list", where="collector")
    sites = tuple(_parse(item) for item in value)
    if sum(len(site.offsets) for site in sites) > MAX_SITES:
        raise InputError(f"more than {MAX_SITES:,} sites", where="collector")
    return sites


def check_sites(sites: Sequence[Site], pids: Sequence[int], files: Sequence[int]) -> None:
    """Make sure a traced process executes what is to be probed.

    Of several, one does: a process that has just begun will map what the one it comes from has mapped.

    Raises
    ------
    InputError
        If a site names a file that did not come with the request, or that is no regular file.
    NoPrivilege
        If an offset is not code of the process.
    """
    for site in sites:
        if site.file >= len(files):
            raise InputError(f"file {site.file} did not come with the request", where="collector")
        status = os.fstat(files[site.file])
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"file {site.file} is not a regular file", where="collector")
        code, data = _mapped(pids, status)
        outside = [offset for offset in site.offsets if not _inside(offset, code)]
        outside += [offset for offset in site.counters if offset and not _inside(offset, data)]
        if outside:
            raise NoPrivilege(
                f"offset {outside[0]:#x} is not in code that process {pids[0]} has mapped",
                where=f"collector, file {site.file}",
                fix="trace again: the library was loaded, replaced or unloaded meanwhile",
            )


def _parse(item: Any) -> Site:
    if not isinstance(item, list) or len(item) != 6:
        raise InputError("a site has exactly six parts", where="collector")
    probe, program, file, *rest = item
    known = PROBES.get(probe) if isinstance(probe, str) else None
    if known is None or program not in (*known.functions, *known.returns):
        raise InputError(f"probe {probe!r} has no program {program!r} for functions", where="collector")
    offsets, cookies, counters = (_numbers(part) for part in rest)
    if type(file) is not int or not 0 <= file < MAX_FILES or not offsets:
        raise InputError("a site names no file or no offset", where="collector")
    if len(cookies) != len(offsets) or len(counters) not in (0, len(offsets)):
        raise InputError("offsets, cookies and counters differ in number", where="collector")
    return Site(probe, program, file, offsets, cookies, counters)


def _numbers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int and 0 <= item < _END for item in value):
        raise InputError("a site has a number that is none, or out of range", where="collector")
    return tuple(value)


def _mapped(pids: Sequence[int], status: os.stat_result) -> tuple[list[range], list[range]]:
    """Return which parts of a file processes have mapped: as code, and at all."""
    file = device_and_inode(status)
    code: list[range] = []
    data: list[range] = []
    for line in _maps(pids):
        addresses, rights, offset, where, inode = line.split(None, 5)[:5]
        if (where, inode) == file:
            start, end = (int(part, 16) for part in addresses.split("-"))
            part = range(int(offset, 16), int(offset, 16) + end - start)
            data.append(part)
            if "x" in rights:
                code.append(part)
    return code, data


def _maps(pids: Sequence[int]) -> list[str]:
    lines: list[str] = []
    for pid in pids:
        try:
            lines += Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
        except OSError as error:
            raise NoPrivilege(
                f"process {pid} cannot be looked at: {error.strerror}", where="collector"
            ) from error
    return lines


def _inside(offset: int, parts: Sequence[range]) -> bool:
    return any(offset in part for part in parts)
