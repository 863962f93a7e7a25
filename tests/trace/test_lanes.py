import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trace.made import MS, full
from workbench.trace.lanes import BINS, OTHER, binned, lanes
from workbench.trace.model import Trace
from workbench.trace.rows import Sample

_events = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**8), st.floats(0, 100)), min_size=1, max_size=20
)


@given(_events, st.integers(1, 300))
def test_no_weight_is_lost_or_made(events, bins):
    start, length, weight = np.array(events, dtype=np.float64).T
    values = binned(start, length, weight, 11 * 10**8, bins)
    assert values.sum() == pytest.approx(weight.sum(), rel=1e-6, abs=1e-6)
    assert (values >= 0).all()


def _lane(name, **changes):
    return next(lane for lane in lanes(full(**changes)) if lane.name == name)


def test_every_kind_has_a_lane_in_one_order():
    assert [lane.name for lane in lanes(full())] == [
        "CPU",
        "off-CPU",
        "operators",
        "run queue",
        "faults",
        "audit",
    ]


def test_what_was_not_seen_has_no_lane():
    assert lanes(Trace(full().meta)) == []


def test_cpu_is_cores_busy_by_line():
    lane = _lane("CPU")
    assert [series.name for series in lane.series] == ["In[3] line 2", "In[3] line 4", OTHER]
    first = lane.series[0].values
    assert len(first) == 25  # four samples a bin
    assert first[6] == pytest.approx(1.0, rel=0.01)
    assert first[-1] == 0
    assert lane.series[2].values[-2] == pytest.approx(1.0, rel=0.01)


def test_the_line_that_waits_is_shown_and_idle_threads_are_not():
    lane = _lane("off-CPU")
    assert {series.name for series in lane.series} == {"In[3] line 7", "In[3] line 9"}
    blocked = next(series for series in lane.series if series.name == "In[3] line 7")
    assert blocked.values.sum() / BINS == pytest.approx(0.11, rel=0.01)


def test_idle_threads_are_shown_when_nothing_else_waits():
    waits = tuple(wait for wait in full().offcpu if wait.stack == 5)
    assert [series.name for series in _lane("off-CPU", offcpu=waits).series] == [OTHER]


def test_many_lines_are_few_series():
    frames = tuple(full().frames[1].__class__("python", "f", f"In[{n}]", 1, n) for n in range(1, 40))
    trace = full(
        frames=frames,
        stacks=tuple((n,) for n in range(39)),
        samples=tuple(Sample("cpu", n * MS, 7, 7, 0.001 * n, n) for n in range(39)),
        offcpu=None,
        events=None,
        audit=None,
        delays=None,
        allocations=None,
    )
    (lane,) = lanes(trace)
    assert [series.name for series in lane.series] == [*(f"In[{n}] line 1" for n in (39, 38, 37, 36)), OTHER]
