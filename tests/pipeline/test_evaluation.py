"""The user's own measure, and latency side by side."""

import math

import numpy
import pytest

from workbench.errors import EvaluationFailed
from workbench.pipeline.evaluation import compare_latency, one_item, score
from workbench.session import Session
from workbench.types import Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "float32", ("batch", 2)),), (TensorSpec("y", "float32", ("batch", 2)),)
)


class Counting:
    """Returns its input and remembers when it ran."""

    order = []  # noqa: RUF012 - shared on purpose: the order among sessions

    def run(self, feeds):
        self.order.append(self)
        return {"y": feeds["x"]}


@pytest.fixture
def session():
    return Session(SIGNATURE, Counting(), "small")


def test_any_real_number_is_a_score(session):
    for value in (1, 0.5, numpy.float32(0.25), numpy.array(0.125)):
        assert score(lambda _, value=value: value, session) == float(value)


@pytest.mark.parametrize(
    ("value", "said"), [("x", "returned a str"), (None, "returned a NoneType"), (math.nan, "nan")]
)
def test_what_is_no_score(session, value, said):
    def users_score(model):
        return value

    with pytest.raises(EvaluationFailed, match=said):
        score(users_score, session)


def test_an_evaluation_that_raises_names_the_users_line(session):
    def users_score(model):
        return {}["accuracy"]

    with pytest.raises(EvaluationFailed, match="raised KeyError: 'accuracy'") as caught:
        score(users_score, session)
    assert "test_evaluation.py" in caught.value.where
    assert caught.value.where.endswith("in users_score")
    assert 'return {}["accuracy"]' in caught.value.fields["traceback"]


def test_latency_is_measured_in_turns():
    Counting.order.clear()
    first, second = (Session(SIGNATURE, Counting(), name) for name in "ab")
    latency = compare_latency(first, second, {"x": numpy.ones((1, 2), numpy.float32)})
    assert latency.ratio > 0
    a, b = first.runner, second.runner
    assert Counting.order[:4] == [a, b, a, b], "warm-up"
    assert Counting.order[4:8] == [a, b, b, a], "each round begins with the other one"


def test_batch_one_only_where_the_first_dimension_is_dynamic():
    feeds = {"x": numpy.ones((8, 2), numpy.float32)}
    assert one_item(SIGNATURE, feeds)["x"].shape == (1, 2)
    fixed = Signature((TensorSpec("x", "float32", (8, 2)),), ())
    assert one_item(fixed, feeds)["x"].shape == (8, 2)
    scalar = Signature((TensorSpec("x", "float32", ()),), ())
    assert one_item(scalar, {"x": numpy.float32(1)})["x"] == 1
