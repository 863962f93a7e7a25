"""What following torch's allocations costs, ours against memray, with enough of them in a step to be measured.

On an MLP of useful size an allocation profiler cannot be told from noise: eight allocations in a millisecond. Here
the same layers are small, so that a step is dispatch and allocation; what a profiler adds to it, divided by its
allocations, is the cost of one, and eight of those over the large MLP's step are that MLP's share.
"""

from __future__ import annotations

import contextlib
import sys
from contextlib import AbstractContextManager

from ..harness import interleave
from ..profilers import OTHERS, Profiler, others
from ..samples import Samples
from ..workloads import Step, mlp, small_mlp
from .profile import PLAIN, cpu_us, steps

SAMPLED = 524_288
_THEIRS = ("memray", "memray_native")


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 1 round when quick, else 16."""
    rounds, seconds = (1, 0.05) if quick else (16, 0.15)
    profilers: dict[str, Profiler] = {
        PLAIN: contextlib.nullcontext,
        "alloc": lambda: _ours(0),
        "alloc_sampled": lambda: _ours(SAMPLED),
    }
    profilers |= {name: one for name, one in others().items() if name in _THEIRS}
    if not set(_THEIRS) & set(profilers):
        print(f"not installed, so not measured: memray (pip install {OTHERS['memray']})", file=sys.stderr)
    small, large = small_mlp(), mlp()
    per_step, per_large = _allocations(small), _allocations(large)
    samples.add("small.allocations", per_step)
    interleave(samples, steps("small", small, profilers, seconds), rounds)
    interleave(samples, {"large.plain.us": lambda: cpu_us(large, seconds)}, rounds)
    _summarise(samples, [name for name in profilers if name != PLAIN], per_step, per_large)


def _summarise(samples: Samples, names: list[str], per_step: float, per_large: float) -> None:
    plain, large = samples.values("small.plain.us"), samples.median("large.plain.us")
    for name in names:
        samples.ratio(f"small.{name}.over_plain", f"small.{name}.us", "small.plain.us")
        for on, off in zip(samples.values(f"small.{name}.us"), plain, strict=True):
            samples.add(f"small.{name}.us_an_allocation", (on - off) / per_step)
        each = samples.median(f"small.{name}.us_an_allocation")
        samples.add(f"large.{name}.share", each * per_large / large)
    for theirs in _THEIRS:
        for ours in ("alloc", "alloc_sampled") if theirs in names else ():
            key = f"small.{ours}.over_{theirs}"
            samples.ratio(key, f"small.{ours}.us_an_allocation", f"small.{theirs}.us_an_allocation")


def _ours(every: int) -> AbstractContextManager[object]:
    from workbench import trace

    return trace.session(("alloc",), tier="bpf", heap_sample=every)


def _allocations(step: Step) -> float:
    """Return how many blocks of torch's allocator a step takes, by our own exact count."""
    from workbench import trace

    step()
    times = 100
    with trace.session(("alloc",), tier="bpf") as recorder:
        for _ in range(times):
            step()
    rows = recorder.trace.allocations or ()
    return sum(row.total_blocks for row in rows if row.allocator == "c10") / times
