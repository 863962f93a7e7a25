"""Blocked threads: planted sleeps and locks must come out, with who ended them."""

import threading
import time

import pytest

from workbench import trace

pytestmark = pytest.mark.bpf

_EVENTS = 1009


def _sleep_often():
    for _ in range(_EVENTS):
        time.sleep(0.0001)


def _named(recorded, stack):
    return {frame.name for frame in recorded.frames_of(stack)}


def test_every_sleep_is_an_interval():
    with trace.session(("offcpu",), tier="bpf") as recorder:
        _sleep_often()
    recorded = recorder.trace
    # After a sleep the thread may wait for the interpreter lock, on the same line: another leaf.
    rows = [
        row for row in recorded.offcpu if {"_sleep_often", "clock_nanosleep"} <= _named(recorded, row.stack)
    ]
    assert len(rows) == _EVENTS
    assert all(row.duration_ns >= 100_000 for row in rows)
    # A timer ended them, whoever it interrupted.
    assert {(row.waker_pid, row.waker) for row in rows} == {(0, "")}
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
    with trace.session(("offcpu",), tier="bpf") as recorder:
        end = time.thread_time() + 0.3
        while time.thread_time() < end:
            sum(range(500))
    assert sum(row.duration_ns for row in recorder.trace.offcpu) < 0.1e9
