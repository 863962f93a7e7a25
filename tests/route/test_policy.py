from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError
from workbench.route.policy import (
    MAX_DEVIATION,
    WHOLE,
    WINDOW,
    Budget,
    Sentinel,
    TrackName,
    Verdict,
    Window,
    pick,
    weight_of,
)

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())
weights = st.integers(0, WHOLE)


@pytest.mark.parametrize("case", VECTORS["split"], ids=lambda case: f"{case['first']}-{case['weight']}")
def test_split_vectors(case: dict[str, Any]) -> None:
    tickets = [(case["first"] + n) % 2**32 for n in range(case["count"])]
    assert [n for n, t in enumerate(tickets) if pick(t, case["weight"]) == "canary"] == case["canary"]


@pytest.mark.parametrize("case", VECTORS["sentinel"], ids=lambda case: case["name"])
def test_sentinel_vectors(case: dict[str, Any]) -> None:
    sentinel, found = Sentinel(Budget(case["breaches"])), None
    for at, letter in enumerate(case["outcomes"]):
        track: TrackName = "canary" if letter in "cC" else "stable"
        verdict = sentinel.observe(track, error=letter.isupper())
        if verdict:
            assert found is None, "a sentinel speaks once"
            found = {"at": at, "observed": verdict.observed, "stable": verdict.stable}
    assert found == case["verdict"]


@given(weights, st.integers(0, 2**32 - 1), st.integers(1, 3000))
def test_any_run_of_requests_has_its_share(weight: int, first: int, count: int) -> None:
    canary = sum(pick((first + n) % 2**32, weight) == "canary" for n in range(count))
    assert abs(canary - count * weight / WHOLE) < MAX_DEVIATION


@given(st.integers(0, 2**32 - 1), weights, weights)
def test_more_weight_never_takes_a_request_away_from_the_canary(ticket: int, one: int, two: int) -> None:
    less, more = sorted((one, two))
    assert pick(ticket, less) == "stable" or pick(ticket, more) == "canary"


@given(st.integers(0, 2**32 - 1))
def test_nothing_and_everything_are_exact(ticket: int) -> None:
    assert pick(ticket, 0) == "stable"
    assert pick(ticket, WHOLE) == "canary"


def test_the_split_has_no_rhythm() -> None:
    """A client that sends something special every tenth time meets both tracks with it."""
    for period in (2, 3, 5, 10, 20):
        special = [pick(n, 1_000) for n in range(0, 2_000, period)]
        assert 0 < special.count("canary") < len(special) / 4


def test_consecutive_canary_requests_keep_apart() -> None:
    places = [n for n in range(1_000) if pick(n, 1_000) == "canary"]
    assert {after - before for before, after in pairwise(places)} <= {5, 8, 13}


@given(st.lists(st.booleans()))
def test_a_window_counts_the_last_64(outcomes: list[bool]) -> None:
    window = Window()
    for bad in outcomes:
        window.add(bad)
    assert window.bad == sum(outcomes[-WINDOW:])
    assert window.bits < 2**64


@given(st.lists(st.tuples(st.sampled_from(["stable", "canary"]), st.booleans())), st.integers(1, WINDOW))
def test_a_verdict_always_has_its_evidence(outcomes: list[tuple[TrackName, bool]], breaches: int) -> None:
    sentinel = Sentinel(Budget(breaches))
    for track, error in outcomes:
        verdict = sentinel.observe(track, error=error)
        if verdict:
            assert verdict.observed >= verdict.stable + breaches


def test_latency_counts_only_when_a_budget_names_it() -> None:
    free, bound = Sentinel(Budget(2)), Sentinel(Budget(2, latency_ms=5.0))
    for sentinel, wanted in ((free, None), (bound, Verdict("latency", 2, 0, 2))):
        sentinel.observe("canary", error=False, latency_ms=5.0)  # the limit itself is allowed
        sentinel.observe("canary", error=False, latency_ms=9.0)
        assert sentinel.observe("canary", error=False, latency_ms=9.0) == wanted


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan"), float("inf")])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(InputError, match="a canary's share is between 0 and 1, not"):
        weight_of(share)


@pytest.mark.parametrize("breaches", [0, 65, -1])
def test_a_budget_fits_the_window(breaches: int) -> None:
    with pytest.raises(InputError, match="a budget allows 1 to 64 breaches"):
        Budget(breaches)
