"""Blocked threads: planted sleeps and locks must come out, with who ended them."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.kernel.waiting import until_worked
from workbench import trace

pytestmark = pytest.mark.bpf

_EVENTS = 1009


def _blocked_so_far():
    """The kernel's own count of how often this thread gave up its CPU."""
    status = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text()
    return int(status.split("voluntary_ctxt_switches:")[1].split()[0])


def _sleep_often():
    before = _blocked_so_far()
    for _ in range(_EVENTS):
        time.sleep(0.0005)
    return _blocked_so_far() - before


def _named(recorded, stack):
    return {frame.name for frame in recorded.frames_of(stack)}


def test_the_kernel_counts_as_many_intervals():
    with trace.session(("offcpu",), tier="bpf") as recorder:
        truth = _sleep_often()
    recorded = recorder.trace
    rows = [row for row in recorded.offcpu if "_sleep_often" in _named(recorded, row.stack)]
    # Reading the counter may itself block, before or after it is read.
    assert abs(len(rows) - truth) <= 2
    assert truth == pytest.approx(_EVENTS, rel=0.2)
    # A timer ended the sleeps, whoever it interrupted; what is left waited for the interpreter lock.
    sleeps = [row for row in rows if "clock_nanosleep" in _named(recorded, row.stack)]
    assert len(sleeps) > 0.9 * truth
    assert {(row.waker_pid, row.waker) for row in sleeps} == {(0, "")}
    assert recorded.meta.lost == {}


def _hold(lock, seconds):
    with lock:
        time.sleep(seconds)


def _wait_for(lock):
    with lock:
        pass


def test_a_lock_names_the_thread_that_held_it():
    lock, seconds = threading.Lock(), 0.2
    with trace.session(("offcpu",), tier="bpf") as recorder:
        holder = threading.Thread(target=_hold, args=(lock, seconds))
        holder.start()
        while not lock.locked():
            time.sleep(0.001)
        _wait_for(lock)
        holder.join()
    recorded = recorder.trace
    waits = [row for row in recorded.offcpu if "_wait_for" in _named(recorded, row.stack)]
    assert sum(row.duration_ns for row in waits) == pytest.approx(seconds * 1e9, rel=0.3)
    longest = max(waits, key=lambda row: row.duration_ns)
    assert longest.waker_tid == holder.native_id
    assert "_hold" in _named(recorded, longest.waker_stack)


def test_work_is_not_blocked_time():
    """Of a process with one thread: here the thread that reads the trace takes the interpreter lock now and then."""
    spin = "print('ready', flush=True)\nwhile True: sum(range(500))"
    with subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "ready\n"
            with trace.session(("offcpu",), tier="bpf", pid=other.pid) as recorder:
                until_worked(other.pid, 0.3)
        finally:
            other.kill()
    assert sum(row.duration_ns for row in recorder.trace.offcpu if row.pid == other.pid) < 0.1e9
