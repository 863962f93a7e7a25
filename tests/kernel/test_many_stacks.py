"""A million distinct stacks through the kernel: counts stay exact, memory bounded, and what has no stack is told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bpf

_STOREYS = 20  # of a tree of calls; every leaf is another stack
_KEPT = 16_384
_MIB = 1 << 20
_SCRIPT = """
import ctypes, json, resource, sys
from tests.kernel.asking import map_bytes, peak_bytes
from workbench import trace
from workbench.trace import client
library = ctypes.CDLL(sys.argv[1])
with trace.session(("alloc",), tier="bpf") as recorder:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    library.left(int(sys.argv[2]))
    collector = client.private_pid()
    buffers, resident = map_bytes(collector), peak_bytes(collector)
recorded = recorder.trace
rows = [row for row in recorded.allocations if row.allocator == "c10"]
print(json.dumps({
    "sums": [sum(getattr(row, name) for row in rows) for name in ("bytes", "blocks", "total_bytes", "total_blocks")],
    "without": sum(row.total_blocks for row in rows if not recorded.stack(row)),
    "rows": len(rows), "stacks": len(recorded.stacks), "lost": recorded.meta.lost,
    "buffers": buffers, "resident": resident,
    "grown": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024,
    "reported": len(trace.TraceReport(recorded).html()),
}))
"""


def test_a_million_distinct_stacks(tmp_path):
    """In a process that has not loaded torch, whose allocator has the same names."""
    source, library = Path(__file__).parent / "native" / "allocator.c", tmp_path / "libc10.so"
    command = ["cc", "-O2", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-o", library, source]
    subprocess.run(command, check=True)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, library, str(_STOREYS)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    count = 1 << _STOREYS
    assert said["sums"] == [0, 0, 64 * count, count]
    # A stack the reader was too slow for is told too, and sent the next time it is met.
    lost = said["lost"].pop("stacks (too many distinct ones)") + said["lost"].pop(
        "records (ring buffer full)", 0
    )
    assert said["lost"] == {}
    # What has a stack has one of those that are kept; every other event says that it has none.
    assert said["without"] == lost
    assert 0 < count - lost <= _KEPT
    assert said["stacks"] <= _KEPT + 1
    # Neither the kernel, the collector nor the traced process holds more for a million than for these.
    assert said["buffers"] <= 16 * _MIB
    assert said["resident"] <= 40 * _MIB
    assert said["grown"] <= 200 * _MIB
    assert said["reported"] <= _MIB
