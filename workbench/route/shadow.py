"""A shadow: a canary that gets copies of requests and answers nobody; its outputs are compared with the stable ones.

The audit answers what a canary cannot: not only whether it fails or is late, but how far its numbers are from those
of the version it would replace, on the very requests that people send.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..codec import register
from .http1 import Head

if TYPE_CHECKING:
    import numpy as np

_TYPES = {
    "BOOL": "?", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


@register("route_shadow_stats")
@dataclass(frozen=True)
class ShadowStats:
    """How a shadow's answers compare.

    Parameters
    ----------
    copied
        Requests it was given.
    failed
        Those it did not answer, or not with 200.
    compared
        Pairs of answers with outputs of the same names and shapes.
    unlike
        Pairs with other names or shapes.
    max_abs, mean_abs
        Largest difference of any two numbers, and the mean over pairs of their mean difference.
    same_top
        Pairs whose largest number lies at the same place in every output (the class, of a classifier).
    skipped
        Requests not copied because earlier copies were still under way, or answers too large to keep.
    """

    copied: int = 0
    failed: int = 0
    compared: int = 0
    unlike: int = 0
    max_abs: float = 0.0
    mean_abs: float = 0.0
    same_top: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        top = f"{self.same_top / self.compared:.1%}" if self.compared else "–"
        return (
            f"shadow: {self.copied} copied, {self.failed} failed, {self.unlike} unlike, largest difference "
            f"{self.max_abs:.3g}, mean {self.mean_abs:.3g}, same top {top}"
        )


class Audit:
    """Collects comparisons."""

    def __init__(self) -> None:
        self.copied = self.failed = self.compared = self.unlike = self.same_top = self.skipped = 0
        self._max = self._sum = 0.0
        self._lock = threading.Lock()

    def compare(self, stable: tuple[Head, bytes], shadow: tuple[Head, bytes]) -> None:
        """Take in a pair of answers to one request."""
        if shadow[0].status != stable[0].status:
            self.count_failed()
            return
        one, two = outputs_of(*stable), outputs_of(*shadow)
        if (
            one is None
            or two is None
            or {k: v.shape for k, v in one.items()} != {k: v.shape for k, v in two.items()}
        ):
            self.count_unlike()
            return
        self._add(one, two)

    def count_failed(self) -> None:
        """Count a copy that was not answered as the request was."""
        with self._lock:
            self.failed += 1

    def count_unlike(self) -> None:
        """Count a pair that cannot be compared."""
        with self._lock:
            self.unlike += 1

    def _add(self, one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
        import numpy as np

        gaps = [np.abs(one[name].astype(np.float64) - two[name].astype(np.float64)) for name in one]
        filled = [gap for gap in gaps if gap.size]
        largest = max((float(gap.max()) for gap in filled), default=0.0)
        mean = float(np.mean([gap.mean() for gap in filled])) if filled else 0.0
        tops = [(one[n].reshape(-1).argmax(), two[n].reshape(-1).argmax()) for n in one if one[n].size]
        with self._lock:  # answers are compared by several threads
            self.compared += 1
            self._max = max(self._max, largest)
            self._sum += mean
            self.same_top += all(a == b for a, b in tops)

    def read(self) -> ShadowStats:
        """Return what was seen so far."""
        mean = self._sum / self.compared if self.compared else 0.0
        return ShadowStats(
            self.copied, self.failed, self.compared, self.unlike, self._max, mean, self.same_top, self.skipped
        )


def outputs_of(head: Head, body: bytes) -> dict[str, np.ndarray] | None:
    """Return the outputs of an Open Inference Protocol answer, JSON or binary; ``None`` if it is none."""
    import numpy as np

    try:
        size = int(head.get(b"inference-header-content-length") or len(body))
        said, at, found = json.loads(body[:size]), size, {}
        for output in said["outputs"]:
            kind, shape = np.dtype(_TYPES[output["datatype"]]), tuple(output["shape"])
            binary = output.get("parameters", {}).get("binary_data_size")
            if binary is None:
                array = np.asarray(output["data"], kind)
            else:
                array = np.frombuffer(body[at : at + binary], kind)
                at += binary
            found[str(output["name"])] = array.reshape(shape)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found
