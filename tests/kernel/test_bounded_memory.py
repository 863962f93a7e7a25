"""What a trace takes of the machine: kernel memory of its maps, and the collector's own."""

import re
from pathlib import Path

import pytest

from tests.kernel.asking import map_bytes
from workbench import trace
from workbench.trace import client
from workbench.trace.probes import DEFAULT_PROBES, PROBES

pytestmark = pytest.mark.bpf
_MIB = 1 << 20


@pytest.mark.parametrize("probes", [DEFAULT_PROBES, tuple(PROBES)], ids=["default", "all"])
def test_buffers_and_resident_memory_stay_below_their_bounds(probes):
    with trace.session(probes, tier="bpf"):
        pid = client.private_pid()
        buffers = map_bytes(pid)
        status = Path(f"/proc/{pid}/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024
    assert 4 * _MIB < buffers <= 16 * _MIB
    assert resident <= 40 * _MIB
