"""libbpf.so.1 through ctypes: load CO-RE objects, attach programs, read maps and ring buffers.

No compiler, no kernel headers, no C extension: the shared library (Debian: libbpf1) is all that is needed,
and a set of objects loads in well under 0.3 s. Used only inside the small processes that hold BPF rights.
"""

from __future__ import annotations

import ctypes as c
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import MissingDependency, NoPrivilege, TraceError

_POINTER = c.c_void_p
_PRINT = c.CFUNCTYPE(c.c_int, c.c_int, c.c_char_p, c.c_void_p)
_SAMPLE = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_size_t)
_WARNING = 0
_TEXT_BYTES = 8192
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "libbpf_set_print": (_POINTER, [_PRINT]),
    "bpf_object__open_mem": (_POINTER, [c.c_char_p, c.c_size_t, _POINTER]),
    "bpf_object__load": (c.c_int, [_POINTER]),
    "bpf_object__close": (None, [_POINTER]),
    "bpf_object__find_map_by_name": (_POINTER, [_POINTER, c.c_char_p]),
    "bpf_object__find_program_by_name": (_POINTER, [_POINTER, c.c_char_p]),
    "bpf_map__fd": (c.c_int, [_POINTER]),
    "bpf_map__key_size": (c.c_uint32, [_POINTER]),
    "bpf_map__value_size": (c.c_uint32, [_POINTER]),
    "bpf_map__reuse_fd": (c.c_int, [_POINTER, c.c_int]),
    "bpf_program__attach": (_POINTER, [_POINTER]),
    "bpf_program__attach_perf_event_opts": (_POINTER, [_POINTER, c.c_int, _POINTER]),
    "bpf_program__attach_iter": (_POINTER, [_POINTER, _POINTER]),
    "bpf_link__fd": (c.c_int, [_POINTER]),
    "bpf_link__destroy": (c.c_int, [_POINTER]),
    "bpf_iter_create": (c.c_int, [c.c_int]),
    "bpf_map_lookup_elem": (c.c_int, [c.c_int, _POINTER, _POINTER]),
    "bpf_map_get_next_key": (c.c_int, [c.c_int, _POINTER, _POINTER]),
    "bpf_map_update_elem": (c.c_int, [c.c_int, _POINTER, _POINTER, c.c_uint64]),
    "ring_buffer__new": (_POINTER, [c.c_int, _SAMPLE, _POINTER, _POINTER]),
    "ring_buffer__consume": (c.c_int, [_POINTER]),
    "ring_buffer__free": (None, [_POINTER]),
}


class Library:
    """The loaded libbpf and what it last complained about."""

    def __init__(self) -> None:
        try:
            self.calls = c.CDLL("libbpf.so.1", use_errno=True)
        except OSError as error:
            raise MissingDependency(
                "libbpf.so.1 is not installed", where="libbpf", fix="apt-get install libbpf1"
            ) from error
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self.calls, name)
            function.restype, function.argtypes = result, arguments
        self._libc = c.CDLL(None)
        self._libc.vsnprintf.argtypes = [c.c_char_p, c.c_size_t, c.c_char_p, c.c_void_p]
        self.log: list[str] = []
        self._print = _PRINT(self._keep_warning)  # ctypes callbacks must outlive their use
        self.calls.libbpf_set_print(self._print)

    def _keep_warning(self, level: int, form: bytes, arguments: int) -> int:
        if level <= _WARNING:
            text = c.create_string_buffer(_TEXT_BYTES)
            self._libc.vsnprintf(text, _TEXT_BYTES, form, arguments)
            self.log = [*self.log[-20:], text.value.decode(errors="replace").strip()]
        return 0

    def failure(self, what: str, where: str, code: int = 0) -> TraceError:
        """Return the error for a failed call: no rights, or what libbpf said."""
        number = code or c.get_errno()
        said = self.log[-1] if self.log else os.strerror(number)
        if number in (1, 13) and "verif" not in said.lower() and "-- END PROG" not in said:
            return NoPrivilege(
                f"the kernel refused to {what}: {os.strerror(number)}",
                where=where,
                fix="run as root, or give this process CAP_BPF and CAP_PERFMON",
            )
        return TraceError(f"cannot {what}: {os.strerror(number)}: {said}"[-1500:], where=where)


class BpfMap:
    """A map by file descriptor; keys and values are raw bytes."""

    def __init__(self, library: Library, handle: int, key_size: int, value_size: int) -> None:
        self._calls = library.calls
        self.fd, self.key_size, self.value_size = handle, key_size, value_size

    def get(self, key: bytes) -> bytes | None:
        """Return the value at a key."""
        value = c.create_string_buffer(self.value_size)
        failed = self._calls.bpf_map_lookup_elem(self.fd, c.create_string_buffer(key, self.key_size), value)
        return None if failed else value.raw

    def set(self, key: bytes, value: bytes) -> None:
        """Set the value at a key."""
        key_buffer, value_buffer = (
            c.create_string_buffer(key, self.key_size),
            c.create_string_buffer(value, self.value_size),
        )
        if self._calls.bpf_map_update_elem(self.fd, key_buffer, value_buffer, 0):
            raise TraceError(f"cannot write a BPF map: {os.strerror(c.get_errno())}")

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values; entries added meanwhile may be missing."""
        key = c.create_string_buffer(self.key_size)
        previous: Any = None
        while self._calls.bpf_map_get_next_key(self.fd, previous, key) == 0:
            value = self.get(key.raw)
            if value is not None:
                yield key.raw, value
            previous = c.create_string_buffer(key.raw, self.key_size)


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
    """

    def __init__(self, library: Library, name: str, data: bytes, shared: Mapping[str, BpfMap]) -> None:
        self._library, self._calls, self.name = library, library.calls, name
        self._links: list[int] = []
        self._handle = self._calls.bpf_object__open_mem(data, len(data), None)
        if not self._handle:
            raise library.failure("open the BPF object", name)
        try:
            for key, other in shared.items():
                own = self._calls.bpf_object__find_map_by_name(self._handle, key.encode())
                if own and self._calls.bpf_map__reuse_fd(own, other.fd):
                    raise library.failure(f"share the map {key}", name)
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

    def attach_perf(self, program: str, event: int) -> None:
        """Attach a program to a perf event; the link owns the event from now on."""
        handle = self._program(program)
        self._keep(self._calls.bpf_program__attach_perf_event_opts(handle, event, None), program)

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

    def detach(self) -> None:
        """Detach all programs; maps stay readable."""
        while self._links:
            self._calls.bpf_link__destroy(self._links.pop())

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
        self._callback = _SAMPLE(lambda _, data, size: 0 if sink(c.string_at(data, size)) else -1)
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
