"""Far more distinct stacks than are kept, through the kernel: counts stay exact, and what has no stack is told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bpf

_STOREYS = 17  # 20 make a million, and take 30 s of CPU time
_SCRIPT = """
import ctypes, json, sys
from workbench import trace
library = ctypes.CDLL(sys.argv[1])
with trace.session(("alloc",), tier="bpf") as recorder:
    library.left(int(sys.argv[2]))
recorded = recorder.trace
rows = [row for row in recorded.allocations if row.allocator == "c10"]
print(json.dumps({
    "sums": [sum(getattr(row, name) for row in rows) for name in ("bytes", "blocks", "total_bytes", "total_blocks")],
    "without": sum(row.total_blocks for row in rows if not recorded.stack(row)),
    "rows": len(rows), "stacks": len(recorded.stacks), "lost": recorded.meta.lost,
}))
"""


def test_eight_times_as_many_distinct_stacks_as_are_kept(tmp_path):
    """In a process that has not loaded torch, whose allocator has the same names."""
    source, library = Path(__file__).parent / "native" / "allocator.c", tmp_path / "libc10.so"
    command = ["cc", "-O2", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-o", library, source]
    subprocess.run(command, check=True)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, library, str(_STOREYS)], check=True, capture_output=True, timeout=240
    )
    said = json.loads(done.stdout)
    count = 1 << _STOREYS
    assert said["sums"] == [0, 0, 64 * count, count]
    # A stack the reader was too slow for is told too, and sent the next time it is met.
    lost = said["lost"].pop("stacks (too many distinct ones)") + said["lost"].pop(
        "records (ring buffer full)", 0
    )
    assert said["lost"] == {}
    # What has a stack has one of the 16,384 that are kept; every other event says that it has none.
    assert said["without"] == lost
    assert 0 < count - lost <= 16_384
    assert said["stacks"] <= 16_385
