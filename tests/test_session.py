"""A session checks its inputs by the signature and answers in the caller's own convention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from workbench.errors import BadTensor
from workbench.session import Session, bind
from workbench.types import OutputStructure, Signature, TensorSpec


class Sum:
    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        return {"total": feeds["a"] + feeds["b"], "double": feeds["a"] * 2}


def session(structure: OutputStructure = "tuple") -> Session:
    row = ("batch", 2)
    return Session(
        Signature(
            (TensorSpec("a", "float32", row), TensorSpec("b", "float32", row)),
            (TensorSpec("total", "float32", row), TensorSpec("double", "float32", row)),
            structure,
        ),
        Sum(),
        "sum",
    )


A, B = np.ones((3, 2), np.float32), np.full((3, 2), 2, np.float32)


@pytest.mark.parametrize("call", [((A, B), {}), (((A, B),), {}), (({"a": A, "b": B},), {}), ((A,), {"b": B})])
def test_every_calling_convention(call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    args, kwargs = call
    total, double = session()(*args, **kwargs)
    assert total.tolist() == [[3.0, 3.0]] * 3
    assert double.tolist() == [[2.0, 2.0]] * 3


def test_structures() -> None:
    assert set(session("dict")(A, B)) == {"total", "double"}
    assert session("tensor")(A, B).shape == (3, 2)


def test_torch_in_gives_torch_out() -> None:
    total, _ = session()(torch.ones(1, 2), torch.ones(1, 2))
    assert isinstance(total, torch.Tensor)


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({"a": A}, "missing b"),
        ({"a": A, "b": B, "c": B}, "unknown c"),
        ({"a": A.astype(np.float64), "b": B}, "dtype is float64, expected float32"),
        ({"a": A[0], "b": B}, r"shape is \[2\], expected \[batch, 2\]"),
        ({"a": A[:, :1], "b": B}, r"shape is \[3, 1\]"),
        ({"a": A, "b": B[:2]}, r"shape is \[2, 2\]"),
    ],
)
def test_what_does_not_fit_is_named(feeds: dict[str, Any], text: str) -> None:
    with pytest.raises(BadTensor, match=text):
        session().run(feeds)


def test_too_many_inputs() -> None:
    with pytest.raises(BadTensor, match="3 inputs given, the model takes 2"):
        session()(A, B, B)


STATE = Signature(
    tuple(TensorSpec(name, "float32", ("batch", 2)) for name in ("a", "b", "state_0", "state_1")),
    (TensorSpec("total", "float32", ("batch", 2)),),
)


@pytest.mark.parametrize(
    "call",
    [
        ((A, B, (A, B)), {}),
        ((A, B), {"state": (A, B)}),
        (({"a": A, "b": B, "state": [A, B]},), {}),
        ((A, B, A), {"state_1": B}),
        ((A.tolist(), B, {"h": A, "c": B}), {}),
    ],
)
def test_tensors_in_a_tuple_count_one_by_one(call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    assert list(bind(STATE, *call, where="here")) == ["a", "b", "state_0", "state_1"]
