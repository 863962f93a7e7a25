"""What the protocol's messages hold, decoded and encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .shared_memory import Slice
from .tensors import Array

HEADER_SIZE = "inference-header-content-length"
"""HTTP header that gives the length of the JSON part when raw tensors follow it."""


@dataclass(frozen=True)
class OutputWish:
    """One output the caller asks for: as JSON, as raw bytes, or in a part of a shared memory region."""

    name: str
    binary: bool
    place: Slice | None = None


@dataclass(frozen=True)
class InferRequest:
    """A decoded request.

    Parameters
    ----------
    inputs
        Arrays by name, in the order they came.
    outputs
        What the caller asks for; empty means every output.
    binary
        Whether outputs that are not named in `outputs` go out as raw bytes.
    id
        The caller's own name for the request, echoed in the answer.
    """

    inputs: Mapping[str, Array]
    outputs: tuple[OutputWish, ...] = ()
    binary: bool = False
    id: str = ""


@dataclass(frozen=True)
class InferAnswer:
    """A decoded answer: outputs by name, and who gave it."""

    model: str
    version: str
    outputs: Mapping[str, Array]
    id: str = ""


@dataclass(frozen=True)
class Message:
    """Bytes to send, and the length of their JSON part when raw tensors follow it."""

    body: bytes
    header_size: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that describe the body."""
        if self.header_size is None:
            return {"content-type": "application/json"}
        return {"content-type": "application/octet-stream", HEADER_SIZE: str(self.header_size)}


@dataclass(frozen=True)
class Parts:
    """A message before it is one piece: its JSON, padded, and the raw tensors behind it."""

    head: bytes
    raw: tuple[memoryview, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the whole message."""
        return len(self.head) + sum(part.nbytes for part in self.raw)

    @property
    def header_size(self) -> int | None:
        """Length of the JSON part when tensors follow it."""
        return len(self.head) if self.raw else None

    def join(self) -> Message:
        """Return it in one piece."""
        return Message(b"".join([self.head, *self.raw]) if self.raw else self.head, self.header_size)

    def write_to(self, place: memoryview) -> None:
        """Write it to the start of `place`, each tensor once."""
        at = 0
        for part in (memoryview(self.head), *self.raw):
            place[at : at + part.nbytes] = part
            at += part.nbytes
