"""Native frames without frame pointers: callers are found by what compilers write for exceptions."""

import ctypes
import platform
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from workbench import trace

pytestmark = [
    pytest.mark.bpf,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="rules are those of x86-64"),
]
_STOREYS = [f"storey_{number}" for number in range(1, 13)]


def _built(folder, name, *more):
    source = Path(__file__).parent / "native" / "frames.c"
    command = ["cc", "-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-shared", "-fPIC", *more]
    subprocess.run([*command, "-o", folder / name, source], check=True)
    library = ctypes.CDLL(str(folder / name))
    library.storey_1.argtypes, library.storey_1.restype = (ctypes.c_long,), ctypes.c_long
    return library


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    return _built(tmp_path_factory.mktemp("frames"), "libframes.so")


@pytest.fixture(scope="module")
def launches(tmp_path_factory):
    """The tower's uppermost function is one of CUDA's driver."""
    return _built(tmp_path_factory.mktemp("cuda"), "libcuda.so.1", "-Dstorey_12=cuLaunchKernel")


def _climb(tower, seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        tower.storey_1(1_000_000)


def test_the_callers_of_a_function_without_frame_pointers(tower):
    with trace.session(("cpu",), hz=499, tier="bpf") as recorder:
        _climb(tower, 1.5)
    recorded = recorder.trace
    stacks = [[frame.name for frame in recorded.stack(sample)] for sample in recorded.samples]
    inside = [names for names in stacks if names[-1] == "storey_12"]
    whole = [names for names in inside if names[-12:] == _STOREYS]
    # What is not whole was seen before the rules of these functions were there.
    assert len(whole) > 0.5 * len(inside)
    assert all("_climb" in names for names in whole)
    # From the Python line through ctypes and libffi, which keep no frame pointers either, without a gap.
    between = Counter(tuple(names[names.index("_climb") + 1 : -12]) for names in whole)
    assert len(between.most_common(1)[0][0]) >= 3
    assert recorded.meta.lost == {}


def _traced(call, seconds, probe, **more):
    """Trace calls for a while: rules are there a moment after the first."""
    with trace.session((probe,), tier="bpf", **more) as recorder:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(10):
                call()
            time.sleep(0.01)
    return recorder.trace


_LONGER = (1, 3, 10, 30)
"""Seconds, for a machine that is busy with other work."""


def test_the_callers_of_a_probed_function(launches):
    for seconds in _LONGER:
        recorded = _traced(lambda: launches.storey_1(1), seconds, "cuda")
        stacks = [[frame.name for frame in recorded.stack(event)] for event in recorded.events]
        assert {names[-1] for names in stacks} == {"cuLaunchKernel"}
        if stacks[-1][-12:-1] == _STOREYS[:-1]:
            break
    assert stacks[-1][-12:-1] == _STOREYS[:-1]
    assert "_traced" in stacks[-1]


def _deepest(recorded):
    """Native frames of the deepest stack that torch's allocator was called from."""
    rows = [row for row in recorded.allocations if row.allocator == "c10"]
    return max(sum(frame.kind == "native" for frame in recorded.stack(row)) for row in rows)


def test_the_callers_of_an_allocation_of_a_sample():
    torch = pytest.importorskip("torch")
    kept = []

    def allocate():
        kept.append(torch.empty(4096, dtype=torch.uint8))

    exact = _traced(allocate, 0.5, "alloc")
    assert any("frame pointers" in note for note in exact.meta.notes)
    for seconds in _LONGER:
        sampled = _traced(allocate, seconds, "alloc", heap_sample=4096)
        if _deepest(sampled) >= 8:
            break
    assert _deepest(sampled) >= 8 > _deepest(exact)
    assert not any("frame pointers" in note for note in sampled.meta.notes)
