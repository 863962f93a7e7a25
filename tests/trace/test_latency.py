from hypothesis import given
from hypothesis import strategies as st

from workbench.trace.latency import SLOTS, Latency, merge

_durations = st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=60)


def _latency(durations):
    slots = [0] * SLOTS
    for duration in durations:
        slots[duration.bit_length() - 1] += 1
    return Latency(len(durations), 0, sum(durations), max(durations), tuple(slots))


@given(_durations, st.floats(0, 1))
def test_a_percentile_is_within_a_factor_of_two(durations, share):
    exact = sorted(durations)[max(-(-round(share * len(durations) * 1e6) // 1_000_000) - 1, 0)]
    assert exact / 2 <= _latency(durations).percentile(share) <= max(exact * 2, 2)


@given(_durations)
def test_percentiles_rise_and_stay_below_the_longest(durations):
    latency = _latency(durations)
    values = [latency.percentile(share / 10) for share in range(11)]
    assert values == sorted(values)
    assert values[-1] <= latency.max_ns


@given(_durations, _durations)
def test_merging_is_measuring_together(left, right):
    assert merge([_latency(left), _latency(right)]) == _latency(left + right)


def test_nothing_measured():
    assert merge([]).percentile(0.99) == 0.0
