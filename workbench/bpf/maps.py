"""BPF maps by file descriptor, and by their names in a BPF file system."""

from __future__ import annotations

import ctypes as c
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import TraceError
from .library import Library

_READ_ONLY = 8  # BPF_F_RDONLY


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

    def remove(self, key: bytes) -> bool:
        """Remove a key; whether it was there."""
        code: int = self._calls.bpf_map_delete_elem(self.fd, c.create_string_buffer(key, self.key_size))
        return code == 0

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values; entries added meanwhile may be missing."""
        key = c.create_string_buffer(self.key_size)
        previous: Any = None
        while self._calls.bpf_map_get_next_key(self.fd, previous, key) == 0:
            value = self.get(key.raw)
            if value is not None:
                yield key.raw, value
            previous = c.create_string_buffer(key.raw, self.key_size)


class _ObjGet(c.Structure):
    """``struct bpf_obj_get_opts``."""

    _fields_ = (("size", c.c_size_t), ("flags", c.c_uint32))


def open_pinned(
    library: Library, path: Path, key_size: int, value_size: int, *, read_only: bool = False
) -> BpfMap:
    """Return a map by its name in a BPF file system; the caller closes its descriptor.

    Raises
    ------
    TraceError
        If there is none, or we may not use it.
    """
    options = _ObjGet(c.sizeof(_ObjGet), _READ_ONLY if read_only else 0)
    handle = library.calls.bpf_obj_get_opts(bytes(path), c.byref(options))
    if handle < 0:
        raise library.failure("open a pinned map", str(path), -handle)
    return BpfMap(library, handle, key_size, value_size)
