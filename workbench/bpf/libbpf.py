"""libbpf.so.1 through ctypes: load CO-RE objects, attach programs, read maps and ring buffers.

No compiler, no kernel headers, no C extension: the shared library (Debian: libbpf1) is all that is needed,
and a set of objects loads in well under 0.3 s. Used only inside the small processes that hold BPF rights.
"""

from __future__ import annotations

import ctypes as c
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import TraceError
from .library import POINTER, SAMPLE, Library
from .maps import BpfMap, open_pinned
from .uprobes import ATTACH_TYPE, attach_functions

__all__ = ["BpfMap", "BpfObject", "Library", "Ring", "open_pinned"]


class _TestRun(c.Structure):
    """``struct bpf_test_run_opts``."""

    _fields_ = (
        ("size", c.c_size_t),
        ("data_in", POINTER),
        ("data_out", POINTER),
        ("data_size_in", c.c_uint32),
        ("data_size_out", c.c_uint32),
        ("context_in", POINTER),
        ("context_out", POINTER),
        ("context_size_in", c.c_uint32),
        ("context_size_out", c.c_uint32),
        ("result", c.c_uint32),
        ("repeat", c.c_int),
        ("duration", c.c_uint32),
        ("flags", c.c_uint32),
        ("cpu", c.c_uint32),
        ("batch_size", c.c_uint32),
    )


_SK_SKB_VERDICT = 38


class BpfObject:
    """One loaded object file; :meth:`close` detaches its programs and frees it.

    Parameters
    ----------
    library
        libbpf.
    name, data
        Shown in errors; the object file's bytes.
    shared
        Maps of another object, by name, to use instead of its own.
    functions
        Programs to load for :meth:`attach_functions`.
    """

    def __init__(
        self,
        library: Library,
        name: str,
        data: bytes,
        shared: Mapping[str, BpfMap],
        functions: Iterable[str] = (),
    ) -> None:
        self._library, self._calls, self.name = library, library.calls, name
        self._links: list[int] = []
        self._handles: list[int] = []
        self._handle = self._calls.bpf_object__open_mem(data, len(data), None)
        if not self._handle:
            raise library.failure("open the BPF object", name)
        try:
            for key, other in shared.items():
                own = self._calls.bpf_object__find_map_by_name(self._handle, key.encode())
                if own and self._calls.bpf_map__reuse_fd(own, other.fd):
                    raise library.failure(f"share the map {key}", name)
            for program in functions:
                self._calls.bpf_program__set_expected_attach_type(self._program(program), ATTACH_TYPE)
            code = self._calls.bpf_object__load(self._handle)
            if code:
                raise library.failure("load the BPF programs", name, -code)
        except TraceError:
            self.close()
            raise

    def map(self, name: str) -> BpfMap:
        """Return a map by name."""
        handle = self._calls.bpf_object__find_map_by_name(self._handle, name.encode())
        if not handle:
            raise TraceError(f"no map {name!r}", where=self.name)
        calls = self._calls
        return BpfMap(
            self._library,
            calls.bpf_map__fd(handle),
            calls.bpf_map__key_size(handle),
            calls.bpf_map__value_size(handle),
        )

    def attach(self, program: str) -> None:
        """Attach a program where its section says."""
        self._keep(self._calls.bpf_program__attach(self._program(program)), program)

    def attach_netns(self, program: str) -> None:
        """Attach a program to this process's network namespace."""
        space = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._keep(self._calls.bpf_program__attach_netns(self._program(program), space), program)
        finally:
            os.close(space)

    def give_to_sockets(self, program: str, sockets: str) -> None:
        """Attach a verdict program to one of our maps of sockets, for as long as that exists."""
        self._give(program, self.map(sockets).fd, _SK_SKB_VERDICT)

    def give_to_cgroup(self, program: str, group: int, hook: int) -> None:
        """Attach a program to a control group for as long as that exists, in place of what is at the hook.

        No link holds it, so that it survives this process.
        """
        self._give(program, group, hook)

    def _give(self, program: str, target: int, hook: int) -> None:
        code = self._calls.bpf_prog_attach(
            self._calls.bpf_program__fd(self._program(program)), target, hook, 0
        )
        if code:
            raise self._library.failure(f"attach {program}", self.name, -code if code < -1 else 0)

    def pin(self, maps: Iterable[str], folder: Path) -> None:
        """Give maps, and every link made so far, a name in a BPF file system: they outlive us then.

        Raises
        ------
        TraceError
            If the kernel refuses one.
        """
        for name in maps:
            handle = self._calls.bpf_object__find_map_by_name(self._handle, name.encode())
            if self._calls.bpf_map__pin(handle, bytes(folder / name)):
                raise self._library.failure(f"pin the map {name}", str(folder))
        for number, link in enumerate(self._links):
            if self._calls.bpf_link__pin(link, bytes(folder / f"{self.name}_link_{number}")):
                raise self._library.failure("pin a link", str(folder))

    def pin_functions(self, names: Iterable[str], folder: Path) -> None:
        """Give each link made by :meth:`attach_functions`, in their order, a name in a BPF file system."""
        for handle, name in zip(self._handles, names, strict=True):
            if self._calls.bpf_obj_pin(handle, bytes(folder / name)):
                raise self._library.failure("pin a link", str(folder))

    def run(self, program: str, context: Any = None) -> int:
        """Run a ``syscall`` program once; return its result. A ctypes structure given is read and written.

        Raises
        ------
        TraceError
            If the kernel refuses to run it.
        """
        handle = self._calls.bpf_program__fd(self._program(program))
        options = _TestRun(c.sizeof(_TestRun))
        if context is not None:
            options.context_in = c.cast(c.byref(context), POINTER)
            options.context_size_in = c.sizeof(context)
        code = self._calls.bpf_prog_test_run_opts(handle, c.byref(options))
        if code:
            raise self._library.failure(f"run {program}", self.name, -code)
        return int(options.result)

    def attach_cgroup(self, program: str, cgroup: int) -> None:
        """Attach a program to a cgroup, by an open file descriptor of its folder."""
        self._keep(self._calls.bpf_program__attach_cgroup(self._program(program), cgroup), program)

    def attach_perf(self, program: str, event: int) -> None:
        """Attach a program to a perf event; the link owns the event from now on."""
        handle = self._program(program)
        self._keep(self._calls.bpf_program__attach_perf_event_opts(handle, event, None), program)

    def attach_functions(
        self, program: str, path: str, pid: int, offsets: Sequence[int], **more: Any
    ) -> None:
        """Attach a program to functions of a file: :func:`.uprobes.attach_functions`."""
        handle = self._calls.bpf_program__fd(self._program(program))
        self._handles.append(attach_functions(handle, path, pid, offsets, **more))

    def run_iterator(self, program: str) -> None:
        """Run an iterator program over all its objects once."""
        link = self._calls.bpf_program__attach_iter(self._program(program), None)
        if not link:
            raise self._library.failure(f"attach {program}", self.name)
        try:
            handle = self._calls.bpf_iter_create(self._calls.bpf_link__fd(link))
            if handle < 0:
                raise self._library.failure(f"run {program}", self.name)
            with os.fdopen(handle, "rb", buffering=0) as stream:
                while stream.read(4096):
                    pass
        finally:
            self._calls.bpf_link__destroy(link)

    def detach(self, *, functions: bool = True) -> None:
        """Detach all programs, or all but those of functions; maps stay readable."""
        while self._links:
            self._calls.bpf_link__destroy(self._links.pop())
        while functions and self._handles:
            os.close(self._handles.pop())

    def close(self) -> None:
        """Detach and free everything."""
        self.detach()
        if self._handle:
            self._calls.bpf_object__close(self._handle)
            self._handle = None

    def _program(self, name: str) -> int:
        handle: int | None = self._calls.bpf_object__find_program_by_name(self._handle, name.encode())
        if not handle:
            raise TraceError(f"no program {name!r}", where=self.name)
        return handle

    def _keep(self, link: int | None, program: str) -> None:
        if not link:
            raise self._library.failure(f"attach {program}", self.name)
        self._links.append(link)


class Ring:
    """Reader of a ring buffer map; the sink returns False to pause after the record it was given."""

    def __init__(self, library: Library, ring: BpfMap, sink: Callable[[bytes], bool]) -> None:
        self._calls = library.calls
        # The record that paused is consumed already, so nothing is lost or seen twice.
        self._callback = SAMPLE(lambda _, data, size: 0 if sink(c.string_at(data, size)) else -1)
        self._handle = self._calls.ring_buffer__new(ring.fd, self._callback, None, None)
        if not self._handle:
            raise library.failure("read the ring buffer", "ring")

    def consume(self) -> None:
        """Hand all waiting records to the sink, without waiting for more."""
        self._calls.ring_buffer__consume(self._handle)

    def close(self) -> None:
        """Free the reader."""
        if self._handle:
            self._calls.ring_buffer__free(self._handle)
            self._handle = None
