"""Which functions of a process a probe wants, and where they lie: runs beside the traced process, without rights."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .sites import MAX_FILES, MAX_SITES, Site
from .symbols.entry import probe_shift
from .symbols.exports import Exports
from .symbols.files import mapped_file

MARKER = 1 << 32
"""Cookie bit of a function that only ends operators."""

_BYTES_SHIFT = 32
_CODE = re.compile(rb"^\S+ ..x. \S+ (\S+ \d+) +(/.*)$", re.MULTILINE)
_OPERATOR = re.compile(r"_ZN2at4_ops\d+(\w+)4callE")
# Name of a CUDA call -> which argument says how many bytes it is about.
_CUDA_BYTES = {
    **{f"cuMemAlloc{end}": 2 for end in ("", "_v2", "Async", "Managed", "Host", "Host_v2")},
    **{
        f"cuMemcpy{way}{end}": 3
        for way in ("", "HtoD", "DtoH", "DtoD")
        for end in ("", "_v2", "Async", "Async_v2")
    },
    **{f"cudaMalloc{end}": 2 for end in ("", "Async", "Managed", "Host")},
    **{f"cudaMemcpy{end}": 3 for end in ("", "Async")},
    **{f"cudaMemset{end}": 3 for end in ("", "Async")},
    **{f"cuMemsetD8{end}": 3 for end in ("", "_v2", "Async")},
}
_CUDA_PATTERN = (
    r"(?:da)?(?:LaunchKernel\w*|LaunchCooperativeKernel|GraphLaunch|MemAlloc\w*|MemFree\w*|Malloc\w*|Free\w*|"
    r"Memcpy\w*|Memset\w*|(?:Ctx|Stream|Event|Device)Synchronize)"
)


@dataclass
class Found:
    """Probe sites of one process.

    Parameters
    ----------
    sites
        For the request.
    files
        Open files the sites lie in; close them once the request is sent.
    functions
        Family and name, by the number the kernel side counts under.
    notes
        What the reader should know.
    """

    sites: list[Site] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    functions: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    known: set[bytes] = field(default_factory=set)
    """Libraries looked at, by device and inode."""
    libraries: list[tuple[str, bytes]] = field(default_factory=list)
    """Name and identity of each file."""
    mapped: frozenset[bytes] = frozenset()
    """What the process looked at last executes."""

    def number(self, family: str, name: str) -> int:
        """Return a new function's number."""
        self.functions.append((family, name))
        return len(self.functions) - 1

    def close(self) -> None:
        """Close the files."""
        while self.files:
            os.close(self.files.pop())

    def probed(self, probe: str, unused: Collection[str] = ()) -> bool:
        """Return whether a probe has functions in a library, but for those of these names."""
        return any(site.probe == probe and self.libraries[site.file][0] not in unused for site in self.sites)

    def absent(self, probes: Sequence[str], unused: Collection[str] = ()) -> list[str]:
        """Return what to say of probes that found nothing, and of functions that cost more than others."""
        notes = [
            f"{name}: {said}"
            for name, said in _NOTHING.items()
            if name in probes and not self.probed(name, unused)
        ]
        if self.slow:
            notes.append(
                f"{len(self.slow):,} probed functions begin with an instruction the kernel must single-step "
                f"(13 us a call): {', '.join(self.slow[:5])}"
            )
        return notes


def find_functions(probes: Sequence[str], pid: int, found: Found | None = None) -> Found:
    """Return where the probes attach in a process's libraries, as they are now.

    A library that cannot be read any more (deleted, another user's) is left out, with a note.

    Parameters
    ----------
    probes
        Names; those without functions are ignored.
    pid
        The process.
    found
        What was found before; only libraries not looked at yet are added to it.
    """
    finders: dict[str, Callable[[str, Exports], list[_Wanted]]] = {
        "alloc": _alloc,
        "operators": _operators,
        "cuda": _cuda,
        "usdt": _usdt,
    }
    found = Found() if found is None else found
    wanted = {name: finder for name, finder in finders.items() if name in probes}
    libraries = _libraries(pid) if wanted else []
    found.mapped = frozenset(identity for _, identity in libraries)
    for path, identity in libraries:
        if identity not in found.known:
            found.known.add(identity)
            _search(found, pid, path, identity, wanted)
            found.libraries += [(Path(path).name, identity)] * (len(found.files) - len(found.libraries))
    return found


@dataclass(frozen=True)
class _Wanted:
    """One function: programs, where, under which name; `extra` is added to its number in the cookie."""

    programs: tuple[str, ...]
    family: str
    name: str
    offset: int
    extra: int = 0
    semaphore: int = 0


_NOTHING = {
    "alloc": "torch is not loaded; only mmap and brk are followed",
    "operators": "no operators found; torch is not loaded",
    "cuda": "no CUDA library is loaded",
    "usdt": "no library or program of the process carries static probe points",
}


def _libraries(pid: int) -> list[tuple[str, bytes]]:
    """Return path and identity (device, inode) of what a process executes; empty when it is gone."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return []
    found = {match[2]: match[1] for match in _CODE.finditer(maps)}
    return [(os.fsdecode(path), identity) for path, identity in found.items()]


def executed_by(pid: int) -> frozenset[bytes]:
    """Return the identities (device, inode) of the files a process executes."""
    return frozenset(identity for _, identity in _libraries(pid))


def _search(
    found: Found,
    pid: int,
    path: str,
    identity: bytes,
    wanted: dict[str, Callable[[str, Exports], list[_Wanted]]],
) -> None:
    place = mapped_file(pid, path, *identity.decode().split())
    try:
        handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        found.notes.append(f"{path} cannot be probed: {error.strerror}")
        return
    used = False
    try:
        exports = Exports(handle)
        for probe, finder in wanted.items():
            functions = finder(Path(path).name, exports)
            room = MAX_SITES - sum(len(site.offsets) for site in found.sites)
            if functions and (len(found.files) >= MAX_FILES or room < 2 * len(functions)):
                found.notes.append(f"{path} is not probed: too many functions or files")
            elif functions:
                _add(found, probe, functions, exports)
                used = True
    except ValueError as error:
        found.notes.append(f"{path} cannot be probed: {error}")
    finally:
        if used:
            found.files.append(handle)
        else:
            os.close(handle)


def _add(found: Found, probe: str, functions: list[_Wanted], exports: Exports) -> None:
    rows: dict[str, list[tuple[int, int, int]]] = {}
    for function in functions:
        shift, steps = probe_shift(exports.code(function.offset))
        number = function.extra if function.extra & MARKER and not function.name else None
        cookie = (
            number if number is not None else found.number(function.family, function.name) + function.extra
        )
        if steps:
            found.slow.append(function.name or "a marker")
        for program in function.programs:
            rows.setdefault(program, []).append((function.offset + shift, cookie, function.semaphore))
    for program, sites in rows.items():
        offsets, cookies, counters = zip(*sites, strict=True)
        found.sites.append(
            Site(probe, program, len(found.files), offsets, cookies, counters if any(counters) else ())
        )


def _alloc(library: str, exports: Exports) -> list[_Wanted]:
    if not library.startswith("libc10.so"):
        return []
    programs = {"3NewEPvm": "handle_new", "6DeleteEPv": "handle_delete"}
    found = exports.functions("_ZN3c1025ProfiledCPUMemoryReporter", "3NewEPvm|6DeleteEPv")
    return [
        _Wanted((programs[name.partition("Reporter")[2]],), "alloc", name, offset)
        for name, offset in found.items()
    ]


def _operators(library: str, exports: Exports) -> list[_Wanted]:
    program = ("handle_operator",)
    if library.startswith("libtorch_cpu.so"):
        found = exports.functions("_ZN2at4_ops", r"\d+\w+?4callE\w*")
        names = {name: _OPERATOR.match(name) for name in found}
        return [_Wanted(program, "torch", match[1], found[name]) for name, match in names.items() if match]
    if library.startswith("libtorch_python.so"):
        found = exports.functions("_Z16THPVariable_Wrap")
        return [_Wanted(program, "torch", "", offset, MARKER) for offset in found.values()]
    if library.startswith("libtvm"):
        found = exports.functions("TVM", "FFIFunctionCall|FuncCall|BackendParallelLaunch")
        return [_Wanted(program, "tvm", name, offset) for name, offset in found.items()]
    found = exports.functions("tern_") if "tern" in library else {}
    return [_Wanted(program, "kernel", name, offset) for name, offset in found.items()]


def _cuda(library: str, exports: Exports) -> list[_Wanted]:
    if not library.startswith(("libcuda.so", "libcudart")):
        return []
    return [
        _Wanted(
            ("handle_cuda", "handle_cuda_return"),
            "cuda",
            name,
            offset,
            _CUDA_BYTES.get(name, 0) << _BYTES_SHIFT,
        )
        for name, offset in exports.functions("cu", _CUDA_PATTERN).items()
    ]


def _usdt(library: str, exports: Exports) -> list[_Wanted]:
    return [
        _Wanted(("handle_point",), "usdt", point.name, point.offset, semaphore=point.semaphore)
        for point in exports.points()
    ]
