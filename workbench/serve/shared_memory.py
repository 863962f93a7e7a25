"""System shared memory: tensors that a client on this machine puts beside the request, not into it.

The client makes a region (``shm_open``), registers it by name, and then its requests say *region, offset,
bytes* where the data would be (the protocol's *system shared memory* extension).

Regions are opened, never mapped: inputs are read with ``pread`` and outputs written with ``pwrite``. A copy of
150 KB costs some 10 us, and in return

* a client that shrinks its region gets an error, where a mapping would end this process (SIGBUS);
* values cannot change between the check of a tensor and its use;
* tensors are aligned wherever they lie in the region.

Off unless asked for, and then only for keys with one prefix: a key is a name of *any* shared memory object
this user may open, and outputs are written to it.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadRequest

FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory objects lie on Linux
MOST_REGIONS = 256
_KEY = re.compile(r"/[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")


@dataclass(frozen=True)
class Slice:
    """Part of a region: `size` bytes from `offset` on."""

    region: str
    offset: int
    size: int


class Region:
    """An open shared memory object; closed when the last request that uses it is done.

    Parameters
    ----------
    handle
        File descriptor; owned.
    key, offset, size
        As registered.
    """

    def __init__(self, handle: int, key: str, offset: int, size: int) -> None:
        self._handle = handle
        self.key, self.offset, self.size = key, offset, size

    def __del__(self) -> None:
        os.close(self._handle)

    def read(self, at: int, size: int) -> memoryview:
        """Return a private copy of the bytes."""
        buffer = np.empty(size, np.uint8)
        view, done = buffer.data, 0
        while done < size:
            count = os.preadv(self._handle, [view[done:]], self.offset + at + done)
            if count == 0:
                raise BadRequest(f"only {done} of {size} bytes are there", where=f"region key {self.key!r}")
            done += count
        return view

    def write(self, at: int, data: memoryview) -> None:
        """Write the bytes, without ever growing the object."""
        if os.fstat(self._handle).st_size < self.offset + at + len(data):
            raise BadRequest("the object has shrunk", where=f"region key {self.key!r}")
        done = 0
        while done < len(data):
            done += os.pwrite(self._handle, data[done:], self.offset + at + done)


class Regions:
    """The regions that clients registered with one replica.

    Parameters
    ----------
    prefix
        Keys must start with it, e.g. ``/mlops``.
    most_bytes
        Of one tensor: a region may be larger than what this process can hold.
    """

    def __init__(self, prefix: str, most_bytes: int) -> None:
        self._prefix = "/" + prefix.lstrip("/")
        self._most_bytes = most_bytes
        self._regions: dict[str, Region] = {}

    def __len__(self) -> int:
        return len(self._regions)

    def register(self, name: str, key: str, offset: int, size: int) -> None:
        """Open the object `key` and call `size` bytes of it from `offset` on `name`.

        Raises
        ------
        BadRequest
            If the name is taken, the key is not one of ours to open, or the object is smaller.
        """
        where = f"region {name!r}"
        if name in self._regions:
            raise BadRequest("the name is registered already", where=where, fix="unregister it first")
        if len(self._regions) >= MOST_REGIONS:
            raise BadRequest(f"{MOST_REGIONS} regions are registered already", where=where, status=503)
        if not _KEY.fullmatch(key) or not key.startswith(self._prefix):
            raise BadRequest(
                f"the key {key!r} may not be used",
                where=where,
                fix=f"a key that starts with {self._prefix!r}",
            )
        if size == 0:
            raise BadRequest("a region needs at least one byte", where=where)
        region = Region(_open(key, where), key, offset, size)
        there = os.fstat(region._handle).st_size
        if offset + size > there:
            raise BadRequest(f"the object {key!r} has {there} bytes", where=where, fix="register fewer bytes")
        self._regions[name] = region

    def unregister(self, name: str = "") -> None:
        """Forget one region, or all; those in use stay open until their requests are answered."""
        if not name:
            self._regions.clear()
        elif self._regions.pop(name, None) is None:
            raise _unknown(name)

    def status(self, name: str = "") -> dict[str, Region]:
        """Return one region, or all."""
        if not name:
            return dict(self._regions)
        return {name: self._find(name)}

    def read(self, part: Slice) -> memoryview:
        """Return a private copy of a part of a region.

        Raises
        ------
        BadRequest
            If there is no such region or the part leaves it.
        """
        return self._bounded(part).read(part.offset, part.size)

    def write(self, part: Slice, data: memoryview) -> None:
        """Write `data` to the start of a part of a region.

        Raises
        ------
        BadRequest
            If there is no such region, the part leaves it, or `data` is larger than the part.
        """
        region = self._bounded(part)
        if len(data) > part.size:
            raise BadRequest(
                f"the output has {len(data)} bytes, shared_memory_byte_size is {part.size}",
                where=f"region {part.region!r}",
            )
        region.write(part.offset, data)

    def _bounded(self, part: Slice) -> Region:
        region = self._find(part.region)
        if part.size > self._most_bytes:
            raise BadRequest(
                f"a tensor of {part.size} bytes", fix=f"at most {self._most_bytes} bytes", status=413
            )
        if part.offset + part.size > region.size:
            raise BadRequest(
                f"{part.size} bytes at {part.offset} leave the region of {region.size} bytes",
                where=f"region {part.region!r}",
            )
        return region

    def _find(self, name: str) -> Region:
        try:
            return self._regions[name]
        except KeyError:
            raise _unknown(name) from None


def _unknown(name: str) -> BadRequest:
    return BadRequest(f"no region {name!r} is registered", where="shared memory", fix="register it first")


def _open(key: str, where: str) -> int:
    try:
        handle = os.open(FOLDER / key[1:], os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadRequest(f"the object {key!r} cannot be opened: {error.strerror}", where=where) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BadRequest(f"{key!r} is not a shared memory object", where=where)
    return handle
