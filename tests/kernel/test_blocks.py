"""Blocks of torch's allocator stay exact where there are more than slots, and where another thread gives them back."""

import threading

import pytest

from workbench import trace

pytestmark = pytest.mark.bpf
torch = pytest.importorskip("torch")

_MANY = 20_000  # there are 8,192 slots


def _taken(kept, count):
    for _ in range(count):
        kept.append(torch.empty(64, dtype=torch.uint8))


def _sums(recorded):
    rows = [
        row
        for row in recorded.allocations
        if row.allocator == "c10" and any(frame.name == "_taken" for frame in recorded.stack(row))
    ]
    fields = ("bytes", "blocks", "total_bytes", "total_blocks")
    return tuple(sum(getattr(row, field) for row in rows) for field in fields)


def test_more_live_blocks_than_slots():
    kept = []
    with trace.session(("alloc",), tier="bpf") as recorder:
        _taken(kept, _MANY)
        del kept[::2]
        _taken(kept, 1009)
        del kept[:100]
    live = _MANY // 2 + 1009 - 100
    assert _sums(recorder.trace) == (64 * live, live, 64 * (_MANY + 1009), _MANY + 1009)
    assert not any("blocks" in reason for reason in recorder.trace.meta.lost)


def test_threads_that_give_back_what_another_took():
    halves, kept = [], []
    with trace.session(("alloc",), tier="bpf") as recorder:
        for _ in range(4):
            taken = []
            _taken(taken, 5000)
            halves.append((taken[:2500], taken[2500:]))
        del taken
        threads = [threading.Thread(target=_taken, args=(kept, 1009)) for _ in range(4)]
        threads += [threading.Thread(target=half.clear) for half, _ in halves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    live, total = 4 * (2500 + 1009), 4 * (5000 + 1009)
    assert _sums(recorder.trace) == (64 * live, live, 64 * total, total)
    assert not any("blocks" in reason for reason in recorder.trace.meta.lost)
