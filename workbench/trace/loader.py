"""One tracing session in the kernel: objects loaded, maps shared, processes adopted, programs attached.

Lives in the collector. Each session has its own objects and maps, so ending one (or losing its client) frees
all it had and touches no other.
"""

from __future__ import annotations

import mmap
import os
import platform
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..bpf.libbpf import BpfMap, BpfObject, Library, Ring
from ..errors import InputError, TraceError
from .cgroups import root
from .perf_event import online_cpus, open_clock
from .probes import ENFORCE, FOLLOW, LOST_REASONS, PROBES, SHARED_MAPS, choose
from .reach import Reach
from .sites import Site, check_sites
from .wire import MAX_RULES, MESSAGE_BYTES, PYTHON_BYTES, RULE_BYTES, Request, Rules, pack_table

_FIRST = struct.pack("<I", 0)
_TYPES = Path("/sys/kernel/btf/vmlinux")
# struct target behind the layout: pid, skip_tid, level, ruled (where return addresses lie as on x86-64)
_TARGET_REST = struct.pack("<4I", 0, 0, 0, platform.machine() == "x86_64")


class KernelSession:
    """Load and attach the probes of a request.

    Parameters
    ----------
    library
        libbpf.
    objects
        Object files by probe name, read before rights were dropped.
    request
        What to trace.
    pid
        The process to trace, checked by the caller, as the caller sees it.
    client, uid
        Who asked: records carry process numbers as it sees them.
    sink
        Takes each raw record; returns False to pause.
    files
        Open files the request's sites lie in; the caller closes them.

    Raises
    ------
    TraceError, NoPrivilege
        If the kernel refuses; nothing stays attached.
    """

    def __init__(
        self,
        library: Library,
        objects: dict[str, bytes],
        request: Request,
        pid: int,
        client: int,
        uid: int,
        sink: Callable[[bytes], bool],
        files: Sequence[int] = (),
    ) -> None:
        self._library = library
        self._loaded: dict[str, BpfObject] = {}
        self._pid = pid
        self._reach = Reach(uid, client, pid)
        self._rules: mmap.mmap | None = None
        self._rules_first = 0
        self._ring: Ring | None = None
        self._probes = (*choose(request.probes), *((ENFORCE,) if request.enforce else ()))
        if not _TYPES.is_file():
            raise TraceError(
                "this kernel carries no type information (BTF), which the probes are fitted to it with",
                where=str(_TYPES),
                fix="use a kernel built with CONFIG_DEBUG_INFO_BTF=y",
            )
        try:
            self._load(objects)
            self._ring = Ring(library, self._loaded[FOLLOW.name].map("ring"), sink)
            self._attach(request.hz)
            self.everywhere = self.attach_sites(request.sites, pid, files)
            self._restrict(request)
            self._adopt(request, pid, client)
        except BaseException:
            self.close()
            raise

    def drain(self) -> None:
        """Hand waiting records to the sink."""
        if self._ring is not None:
            self._ring.consume()

    def stop(self) -> None:
        """Trace nothing any more; records and tables stay readable.

        Tracepoints are let go. Probed functions are not yet (:meth:`close`): with no process left to trace,
        what runs there returns at once.
        """
        for loaded in self._loaded.values():
            loaded.detach(functions=False)
        targets = self._loaded[FOLLOW.name].map("targets")
        for key, _ in list(targets.items()):
            targets.remove(key)

    def set_python(self, pid: int, python: bytes) -> None:
        """Walk the Python frames of a traced process (by its own number) that had no known interpreter."""
        targets = self._loaded[FOLLOW.name].map("targets")
        for key, value in list(targets.items()):
            runtime, own = value[:8], int.from_bytes(value[PYTHON_BYTES : PYTHON_BYTES + 4], "little")
            if own == pid and not any(runtime):
                targets.set(key, python + value[PYTHON_BYTES:])

    def attach_sites(self, sites: Sequence[Site], pid: int, files: Sequence[int]) -> list[int]:
        """Probe functions in a process of the traced tree, as the caller sees it.

        Returns
        -------
        list of int
            Indexes of files that are now probed in every process that maps them (:mod:`.reach`).

        Raises
        ------
        InputError, NoPrivilege, TraceError
            If a site is not code of it or of the process at the root, is of a probe not asked for, or the
            process is gone.
        """
        for site in sites:
            if site.probe not in self._loaded:
                raise InputError(f"probe {site.probe!r} was not asked for", where="collector")
        check_sites(sites, (pid, self._pid) if pid != self._pid else (pid,), files)
        files = files[: 1 + max((site.file for site in sites), default=-1)]
        settled, everywhere = self._reach.settled(files), self._reach.decide(files)
        fresh = [site for site in sites if site.file not in settled]
        # First what outlives the process: remembered before a probe fails because that has ended meanwhile.
        self._attach_to([site for site in fresh if site.file in everywhere], 0, files)
        self._reach.keep(files, everywhere)
        self._attach_to([site for site in fresh if site.file not in everywhere], pid, files)
        return sorted(everywhere)

    def _attach_to(self, sites: Sequence[Site], pid: int, files: Sequence[int]) -> None:
        """Probe functions in a process, or in all (0)."""
        for site in sites:
            self._loaded[site.probe].attach_functions(
                site.program,
                # The kernel follows this link to the file itself, whatever folders and namespaces lie between.
                f"/proc/self/fd/{files[site.file]}",
                pid,
                site.offsets,
                cookies=site.cookies,
                counters=site.counters,
                returns=site.program in PROBES[site.probe].returns,
            )

    def set_rules(self, rules: Rules) -> None:
        """Take a part of the rules native frames are walked by; they apply once the last is there."""
        follow = self._loaded[FOLLOW.name]
        if self._rules is None:
            self._rules = mmap.mmap(follow.map("frame_rules").fd, 2 * MAX_RULES * RULE_BYTES)
        first = MAX_RULES - self._rules_first  # the half that is not in use
        at = (first + rules.start) * RULE_BYTES
        self._rules[at : at + len(rules.rows)] = rules.rows
        if rules.start + len(rules.rows) // RULE_BYTES == rules.total:
            follow.map("rules_in_use").set(_FIRST, struct.pack("<2I", first, rules.total))
            self._rules_first = first

    def tables(self) -> Iterator[bytes]:
        """Yield table messages, each within the message size."""
        for probe in self._probes:
            for name in probe.tables:
                table = self._loaded[probe.name].map(name)
                yield from _messages(f"{probe.name}.{name}", table)

    def lost(self) -> dict[str, int]:
        """Return what was lost and why; empty when nothing was."""
        table = self._loaded[FOLLOW.name].map("lost")
        counts = {
            reason: int.from_bytes(table.get(struct.pack("<I", index)) or b"", "little")
            for index, reason in enumerate(LOST_REASONS)
        }
        return {reason: count for reason, count in counts.items() if count}

    def close(self) -> None:
        """Detach and free everything."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        if self._rules is not None:
            self._rules.close()
            self._rules = None
        for loaded in self._loaded.values():
            loaded.close()
        self._loaded = {}

    def _load(self, objects: dict[str, bytes]) -> None:
        shared: dict[str, BpfMap] = {}
        for probe in (FOLLOW, *self._probes):
            functions = (*probe.functions, *probe.returns)
            loaded = BpfObject(self._library, probe.name, objects[probe.name], shared, functions)
            self._loaded[probe.name] = loaded
            if probe is FOLLOW:
                shared = {name: loaded.map(name) for name in SHARED_MAPS}

    def _attach(self, hz: int) -> None:
        for probe in (FOLLOW, *self._probes):
            loaded = self._loaded[probe.name]
            for program in probe.tracepoints:
                loaded.attach(program)
            if probe.clock:
                _attach_clock(loaded, probe.clock, hz)

    def _restrict(self, request: Request) -> None:
        """Set what to report, what to sample, and refuse what the policy does not allow."""
        if request.watch and "audit" in self._loaded:
            watched = self._loaded["audit"].map("watched")
            for number in request.watch:
                watched.set(struct.pack("<I", number), struct.pack("<I", 1))
        if request.heap_sample and "alloc" in self._loaded:
            self._loaded["alloc"].map("every").set(_FIRST, struct.pack("<Q", request.heap_sample))
        if request.enforce is None:
            return
        loaded = self._loaded[ENFORCE.name]
        loaded.map("settings").set(_FIRST, request.enforce.pack_settings())
        for index, rule in enumerate(request.enforce.rules):
            loaded.map("rules").set(struct.pack("<I", index), rule.pack())
        cgroup = os.open(root(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for program in ENFORCE.cgroup:
                loaded.attach_cgroup(program, cgroup)
        finally:
            os.close(cgroup)

    def _adopt(self, request: Request, pid: int, client: int) -> None:
        """Fill the set of traced processes; the last thing to happen, so that all probes start at once."""
        follow = self._loaded[FOLLOW.name]
        wanted = follow.map("request")
        target = request.pack_python() + _TARGET_REST
        # The first pass only learns in which namespace the client numbers processes.
        wanted.set(_FIRST, target + struct.pack("<4I", 0, 0, 0, client))
        follow.run_iterator("adopt")
        target = (wanted.get(_FIRST) or b"")[: len(target)]
        wanted.set(_FIRST, target + struct.pack("<4I", pid, request.skip_tid, 0, client))
        before, adopted = -1, 0
        # A pass sees parents mostly before children; repeat until one adds nothing.
        while adopted != before:
            follow.run_iterator("adopt")
            before, adopted = adopted, struct.unpack_from("<I", wanted.get(_FIRST) or b"", len(target) + 8)[0]
        if not adopted:
            raise TraceError(f"process {pid} is gone", where="adopt")


def _attach_clock(loaded: BpfObject, program: str, hz: int) -> None:
    for cpu in online_cpus():
        event = open_clock(hz, cpu=cpu)
        try:
            loaded.attach_perf(program, event)
        except TraceError:
            os.close(event)
            raise


def _messages(name: str, table: BpfMap) -> Iterator[bytes]:
    room = MESSAGE_BYTES // (table.key_size + table.value_size)
    entries = [key + value for key, value in table.items()]
    for start in range(0, len(entries), room):
        yield pack_table(name, table.key_size, table.value_size, entries[start : start + room])
