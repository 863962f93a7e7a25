"""pprof: a gzipped ``perftools.profiles.Profile`` (https://github.com/google/pprof, ``proto/profile.proto``).

Every stack has all its weights at once, so the reader chooses: CPU time, time blocked, page faults, bytes
allocated, bytes still held. Samples carry the process as a label.
"""

from __future__ import annotations

import gzip
from collections import defaultdict

from ..attribution import NO_PYTHON
from ..costs import WEIGHTS
from ..model import Trace
from ..rows import Frame
from .protobuf import data, integer, packed

SUFFIX = ".pb.gz"
# Weight of ours; type and unit as pprof names them; factor to that unit.
TYPES = (
    ("cpu", "cpu", "nanoseconds", 1e9),
    ("offcpu", "delay", "nanoseconds", 1e9),
    ("faults", "page_faults", "count", 1.0),
    ("allocated", "alloc_space", "bytes", 1.0),
    ("held", "inuse_space", "bytes", 1.0),
)


def dump(trace: Trace) -> bytes:
    """Return the profile; equal traces give equal bytes."""
    return gzip.compress(_Writer(trace).profile(), mtime=0)


class _Writer:
    """Numbers strings, functions and locations as they are first used."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._strings: dict[str, int] = {"": 0}
        self._functions: dict[tuple[str, str], int] = {}
        self._locations: dict[Frame, int] = {}

    def profile(self) -> bytes:
        """Return the encoded message."""
        meta = self._trace.meta
        types = [self._type(name, unit) for _, name, unit, _ in TYPES]
        samples = self._samples()
        locations = [
            integer(1, number) + data(4, integer(1, self._function(frame)) + integer(2, frame.line))
            for frame, number in self._locations.items()
        ]
        comment = packed(13, [self._string(f"tier {meta.tier}; {', '.join(meta.probes)}")])
        period = data(11, types[0]) + integer(12, round(1e9 / meta.hz)) + integer(14, self._string("cpu"))
        functions = [
            integer(1, number) + integer(2, self._string(name)) + integer(4, self._string(file))
            for (name, file), number in self._functions.items()
        ]
        parts = [data(1, part) for part in types]
        parts += [data(2, part) for part in samples]
        parts += [data(4, part) for part in locations]
        parts += [data(5, part) for part in functions]
        parts += [data(6, text.encode()) for text in self._strings]
        return b"".join(parts) + integer(10, round(meta.wall_s * 1e9)) + period + comment

    def _samples(self) -> list[bytes]:
        sums: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0] * len(TYPES))
        for column, (weight, _, _, factor) in enumerate(TYPES):
            for pid, stack, value in WEIGHTS[weight].rows(self._trace):
                sums[pid, stack][column] += value * factor
        return [
            self._sample(pid, self._trace.readable(stack), values) for (pid, stack), values in sums.items()
        ]

    def _sample(self, pid: int, stack: tuple[Frame, ...], values: list[float]) -> bytes:
        frames = stack or (NO_PYTHON,)
        process = f"{self._trace.meta.processes.get(str(pid), '?')} ({pid})"
        label = integer(1, self._string("process")) + integer(2, self._string(process))
        numbers = [self._location(frame) for frame in reversed(frames)]
        return packed(1, numbers) + packed(2, map(round, values)) + data(3, label)

    def _location(self, frame: Frame) -> int:
        return self._locations.setdefault(frame, len(self._locations) + 1)

    def _function(self, frame: Frame) -> int:
        name = f"{frame.file} line {frame.line}" if frame.cell and frame.name == "<module>" else frame.name
        return self._functions.setdefault((name, frame.file), len(self._functions) + 1)

    def _type(self, name: str, unit: str) -> bytes:
        return integer(1, self._string(name)) + integer(2, self._string(unit))

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))
