import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.samples import Samples

numbers = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30)


def test_the_ratio_is_the_median_of_the_rounds_ratios():
    samples = Samples()
    # The machine was ten times slower in the second round, for both.
    for ours, theirs in ((1, 2), (10, 20), (1, 4)):
        samples.add("ours", ours)
        samples.add("theirs", theirs)
    samples.ratio("ratio", "ours", "theirs")
    summary = samples.summary()
    assert summary["repeats"] == 3
    assert summary["metrics"] == {"ours": 1.0, "theirs": 4.0, "ratio": 0.5}


def test_the_spread_is_the_10th_and_90th_percentile():
    samples = Samples()
    for value in range(11):
        samples.add("key", value)
    assert samples.summary()["spread"] == {"key": [1.0, 9.0]}


@given(numbers)
def test_the_median_lies_within_the_spread(values):
    samples = Samples()
    for value in values:
        samples.add("key", value)
    summary = samples.summary()
    low, high = summary["spread"]["key"]
    assert low <= summary["metrics"]["key"] <= high


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="key measured"):
        Samples().add("key", value)


def test_a_ratio_needs_the_same_rounds():
    samples = Samples()
    samples.add("a", 1)
    samples.add("a", 1)
    samples.add("b", 1)
    with pytest.raises(ValueError, match="shorter"):
        samples.ratio("ratio", "a", "b")


def test_nothing_measured_is_no_round():
    assert Samples().summary() == {"repeats": 0, "metrics": {}, "spread": {}}
