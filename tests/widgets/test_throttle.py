"""A throttle loses no last call."""

from __future__ import annotations

import threading

from workbench.widgets.throttle import Throttle


def test_the_first_call_acts_at_once_and_a_burst_acts_once_more() -> None:
    calls: list[str] = []
    twice = threading.Event()

    def act() -> None:
        calls.append(threading.current_thread().name)
        if len(calls) == 2:
            twice.set()

    throttle = Throttle(act, 0.05)
    for _ in range(50):
        throttle()
    assert calls[0] == threading.current_thread().name
    assert twice.wait(10)


def test_flush_acts_now_and_drops_what_was_waiting() -> None:
    calls: list[int] = []
    throttle = Throttle(lambda: calls.append(1), 60)
    throttle()
    throttle()
    throttle.flush()
    assert len(calls) == 2
    assert throttle._timer is None


def test_calls_from_threads_never_overlap() -> None:
    inside, overlaps, calls = [0], [0], [0]

    def act() -> None:
        inside[0] += 1
        overlaps[0] += inside[0] > 1
        calls[0] += 1
        inside[0] -= 1

    throttle = Throttle(act, 0)
    threads = [threading.Thread(target=lambda: [throttle() for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert overlaps[0] == 0
    assert calls[0] == 400
