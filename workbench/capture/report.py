"""What a capture found, and the ``capture.json`` that stays with the program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import codec
from ..atomic import write_bytes
from ..codec import register
from ..types import Signature

CAPTURE_FILE = "capture.json"


@register("capture_report")
@dataclass(frozen=True)
class CaptureReport:
    """Outcome of one capture.

    Parameters
    ----------
    signature
        What the program takes and gives.
    parameters
        Number of weights, shared ones counted once.
    bytes
        Size of the program file.
    seconds
        Time the capture took. Not stored: it differs from run to run.
    dynamic
        Names of the dimensions that may change from call to call.
    """

    signature: Signature
    parameters: int
    bytes: int
    seconds: float
    dynamic: tuple[str, ...]


def dynamic_names(signature: Signature) -> tuple[str, ...]:
    """Return the named dimensions of the inputs, in order of appearance."""
    sizes = (size for spec in signature.inputs for size in spec.shape)
    return tuple(dict.fromkeys(size for size in sizes if isinstance(size, str)))


def write_record(folder: Path, signature: Signature, *, parameters: int, dtype: str, producer: str) -> None:
    """Write ``capture.json``; it holds nothing that differs between two equal captures."""
    record = {
        "dynamic": dynamic_names(signature),
        "parameters": parameters,
        "dtype": dtype,
        "producer": producer,
    }
    write_bytes(folder / CAPTURE_FILE, codec.dumps(record).encode())
