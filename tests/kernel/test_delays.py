"""Waits for a CPU on the time axis are the ones the histogram counts."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

from workbench import trace

pytestmark = pytest.mark.bpf
_SPIN = "import time\nprint(flush=True)\nend = time.time() + 60\nwhile time.time() < end: pass"


@contextlib.contextmanager
def _neighbour():
    """Keep a process that wants the same, only CPU as this thread."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    process = subprocess.Popen([sys.executable, "-c", _SPIN], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()
        os.sched_setaffinity(0, before)


def test_a_noisy_neighbour_is_seen_when_it_is_noisy():
    """In a process of its own: what other tests left running in this one takes part in its waits."""
    script = "from tests.kernel.test_delays import check; check()"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=240)


def check():
    """Trace this thread beside a neighbour; records and histogram must tell the same."""
    with trace.session(("cpu",), tier="bpf"):  # the collector, which must not have that CPU alone
        pass
    with _neighbour(), trace.session(("cpu", "sched"), tier="bpf") as recorder:
        end = time.thread_time() + 0.4
        while time.thread_time() < end:
            sum(range(100))
    recorded, own = recorder.trace, os.getpid()
    delays = [delay for delay in recorded.delays if delay.tid == own]
    (waits,) = (row for row in recorded.waits if row.tid == own)
    longer, as_long = sum(waits.latency.slots[17:]), sum(waits.latency.slots[16:])
    assert longer <= len(delays) <= as_long  # 0.1 ms lies in slot 16
    assert sum(delay.duration_ns for delay in delays) <= waits.latency.total_ns
    assert sum(delay.duration_ns for delay in delays) > 0.5 * waits.latency.total_ns > 0
    assert max(delay.duration_ns for delay in delays) == pytest.approx(waits.latency.max_ns, abs=1000)
    assert all(delay.duration_ns >= 100_000 for delay in delays)
    assert [delay.time_ns for delay in delays] == sorted(delay.time_ns for delay in delays)
