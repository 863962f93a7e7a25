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


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    out = tmp_path_factory.mktemp("frames") / "libframes.so"
    source = Path(__file__).parent / "native" / "frames.c"
    command = ["cc", "-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", out, source], check=True)
    library = ctypes.CDLL(str(out))
    library.storey_1.argtypes, library.storey_1.restype = (ctypes.c_long,), ctypes.c_long
    return library


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
