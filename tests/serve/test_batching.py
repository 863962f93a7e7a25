"""Which waiting requests run as one, and that nobody's answer changes by it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serve.conftest import LIMIT_S, RunningReplica
from workbench.errors import BadRequest, InputError, ServeError
from workbench.serve import batching
from workbench.serve.batching import CostCurve
from workbench.types import Signature, TensorSpec

Start = Callable[..., RunningReplica]
SIGNATURE = Signature(
    (TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("y", "float32", ("batch", 4)),)
)


@given(
    rows=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    seconds=st.lists(st.floats(1e-4, 1.0), min_size=4, max_size=4),
)
@settings(deadline=None, max_examples=200)
def test_the_cut_has_the_least_sum_of_waiting_times(rows: list[int], seconds: list[float]) -> None:
    curve = CostCurve(dict(zip((1, 2, 4, 8), seconds, strict=True)))

    def waiting(cuts: tuple[int, ...]) -> float:
        """Sum of the times until each request is answered."""
        clock = total = 0.0
        at = 0
        for count in cuts:
            clock += curve.cost(sum(rows[at : at + count]))
            total += count * clock
            at += count
        return total

    def allowed(cuts: tuple[int, ...]) -> bool:
        ends = list(itertools.accumulate(cuts))
        parts = [rows[end - count : end] for end, count in zip(ends, cuts, strict=True)]
        return all(len(part) == 1 or sum(part) <= 8 for part in parts)

    every = [cuts for cuts in compositions(len(rows)) if allowed(cuts)]
    first = curve.first_batch(tuple(rows))
    with_it = min(waiting(cuts) for cuts in every if cuts[0] == first)
    assert with_it == pytest.approx(min(map(waiting, every)))


def compositions(count: int) -> list[tuple[int, ...]]:
    if count == 0:
        return [()]
    return [(first, *rest) for first in range(1, count + 1) for rest in compositions(count - first)]


def test_one_request_never_waits_for_company() -> None:
    assert CostCurve({1: 0.01, 64: 0.01}).first_batch((1,)) == 1


def test_a_model_that_gains_nothing_from_batches_gets_none() -> None:
    assert CostCurve({1: 0.01, 2: 0.02, 4: 0.04}).first_batch((1,) * 4) == 1


def test_a_batch_is_never_larger_than_what_was_measured() -> None:
    curve = CostCurve({1: 0.01, 4: 0.01})
    assert curve.first_batch((1,) * 30) == 4
    assert curve.first_batch((9, 1)) == 1  # a request that is larger by itself goes alone


def test_a_fall_of_the_cost_is_taken_for_noise() -> None:
    assert CostCurve({1: 0.02, 2: 0.01, 4: 0.03}).seconds == [0.02, 0.02, 0.03]


def test_the_curve_is_measured_at_powers_of_two_and_the_largest() -> None:
    seen = []

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        seen.append(len(feeds["x"]))
        return {"y": feeds["x"]}

    curve = batching.measure(SIGNATURE, run, {"x": np.ones((3, 4), np.float32)}, 12)
    assert curve.rows == [1, 2, 4, 8, 12]
    assert curve.most_rows == 12
    assert max(seen) == 12


def test_answers_that_depend_on_the_company_are_refused() -> None:
    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        return {"y": feeds["x"] / np.abs(feeds["x"]).max()}  # as a grid over the whole batch would

    with pytest.raises(InputError, match="changes with the requests it is batched with"):
        batching.measure(SIGNATURE, run, {"x": np.ones((1, 4), np.float32)}, 4)


@pytest.mark.parametrize("shape", [(1, 4), (), ("other", 4)])
def test_a_model_without_a_batch_dimension_is_refused(shape: tuple[Any, ...]) -> None:
    signature = Signature(SIGNATURE.inputs, (TensorSpec("y", "float32", shape),))
    with pytest.raises(InputError, match="share no dynamic first dimension"):
        batching.batch_axis(signature)


def test_waiting_requests_share_a_run_and_get_their_own_answers(start: Start) -> None:
    """The first request holds the only worker; those that come meanwhile are answered together."""
    replica = start("--max-batch", "16", loader="load_moody").wait_ready()
    given_rows = [row(0.6), *(row(-float(n)) for n in range(12)), row(-2000.0)]
    results: list[Any] = [None] * len(given_rows)

    def ask(at: int) -> None:
        with replica.client() as client:
            try:
                results[at] = client.infer("tiny", {"x": given_rows[at]}).outputs
            except ServeError as error:
                results[at] = error

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(given_rows))]
    threads[0].start()
    with replica.client() as client:
        while "mlops_requests_in_flight" not in client.metrics() or in_flight(client) < 1:
            pass
        for thread in threads[1:]:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
        text = client.metrics()
    for at, asked in enumerate(given_rows[:-1]):
        np.testing.assert_array_equal(results[at]["double"], 2 * asked)
        np.testing.assert_array_equal(results[at]["total"], asked.sum(1))
    assert "mlops_batch_cost_seconds" in text
    runs = sample(text, "mlops_batch_requests_count")
    assert runs < len(given_rows)


def test_one_request_that_breaks_the_model_breaks_no_other(start: Start) -> None:
    replica = start("--max-batch", "8", "--workers", "1", loader="load_brittle").wait_ready()
    good, bad = row(-1.0), row(-2000.0)
    outcomes: list[Any] = [None] * 9

    def ask(at: int, value: np.ndarray) -> None:
        with replica.client() as client:
            try:
                outcomes[at] = client.infer("tiny", {"x": value}).outputs["double"]
            except ServeError as error:
                outcomes[at] = error

    values = [row(0.5), *[good] * 4, bad, *[good] * 3]
    threads = [threading.Thread(target=ask, args=(at, value)) for at, value in enumerate(values)]
    threads[0].start()
    with replica.client() as client:
        while in_flight(client) < 1:
            pass
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert isinstance(outcomes[5], ServeError)
    assert not isinstance(outcomes[5], BadRequest)
    for at in (1, 2, 3, 4, 6, 7, 8):
        np.testing.assert_array_equal(outcomes[at], 2 * good)


def test_a_model_that_cannot_batch_says_so_at_its_start(start: Start) -> None:
    replica = start("--max-batch", "4", loader="load_company")
    assert replica.process.wait(LIMIT_S) == 1
    assert "changes with the requests it is batched with" in replica.error_file.read_text()


def row(value: float) -> np.ndarray:
    return np.array([[value, 1, 2, 3]], np.float32)


def in_flight(client: Any) -> int:
    return int(sample(client.metrics(), "mlops_requests_in_flight"))


def sample(text: str, name: str) -> float:
    return float(next(line for line in text.splitlines() if line.startswith(name + "{")).split()[-1])
