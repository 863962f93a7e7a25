"""Strict JSON of frozen dataclasses: round trips, canonical bytes, refusals."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import codec
from workbench.errors import InputError
from workbench.types import FileEntry, Manifest, Signature, TensorSpec

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)
dims = st.one_of(st.integers(1, 4096), st.sampled_from(["batch", "tokens"]))
specs = st.builds(
    TensorSpec,
    names,
    st.sampled_from(["float32", "int64", "bool"]),
    st.lists(dims, max_size=4).map(tuple),
)
signatures = st.builds(
    Signature,
    st.lists(specs, max_size=3).map(tuple),
    st.lists(specs, max_size=3).map(tuple),
    st.sampled_from(["tensor", "tuple", "dict"]),
    names,
)
manifests = st.builds(
    Manifest,
    kind=st.sampled_from(["program", "variant", "compiled"]),
    files=st.lists(st.builds(FileEntry, names, names, st.integers(0, 2**40)), max_size=3).map(tuple),
    signature=st.one_of(st.none(), signatures),
    metrics=st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
)


@given(manifests)
def test_round_trip(manifest: Manifest) -> None:
    assert codec.loads(codec.dumps(manifest)) == manifest


@given(manifests)
def test_equal_values_have_equal_bytes(manifest: Manifest) -> None:
    again = codec.loads(codec.dumps(manifest))
    assert codec.dumps(again) == codec.dumps(manifest)
    assert codec.digest(again) == codec.digest(manifest)


SPEC = {"_type": "tensor_spec", "_version": 1, "name": "x", "dtype": "float32", "shape": ["batch", 2]}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"colour": "red"}, "no field colour"),
        ({"_type": "nothing"}, "unknown record type 'nothing'"),
        ({"_version": 2}, "has version 2"),
    ],
)
def test_unknown_things_are_errors(change: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        codec.from_json({**SPEC, **change})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InputError, match="needs dtype"):
        codec.from_json({k: v for k, v in SPEC.items() if k != "dtype"})


def test_nan_has_no_canonical_text() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.dumps({"x": float("nan")})


def test_whole_floats_stay_floats() -> None:
    text = json.dumps({"a": 1})
    assert codec.loads(text) == {"a": 1}
