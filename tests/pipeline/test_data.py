"""Data artifacts: what goes in comes out, and equal values have equal digests."""

import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workbench.errors import BadTensor, CorruptArtifact
from workbench.pipeline import data
from workbench.store import ArtifactDraft, Store

plain = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False)
arrays = hnp.arrays(
    st.sampled_from(["float32", "int64", "uint8", "bool"]), hnp.array_shapes(max_dims=3, max_side=3)
)
tensors = arrays.map(torch.from_numpy)
values = st.recursive(
    plain | arrays | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return (
            a.dtype == b.dtype and torch.equal(a, b)
            if not a.dtype.is_floating_point
            else _equal(a.numpy(), b.numpy())
        )
    if isinstance(a, numpy.ndarray):
        return _equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def _equal(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values)
def test_a_value_survives_the_store(tmp_path_factory, value):
    store = Store(tmp_path_factory.mktemp("home"))
    digest = data.put(store, value)
    assert same(data.read(store.artifacts.path(digest)), value)
    assert data.put(store, value) == digest
    store.close()


def test_the_parts_of_a_split_are_kept_each(store):
    batches = list(torch.arange(12.0).split(4))
    read = data.read(store.artifacts.path(data.put(store, batches)))
    assert [b.tolist() for b in read] == [b.tolist() for b in batches]
    assert data.put(store, [b.clone() for b in batches]) == data.put(store, batches)


def test_strided_and_half_precision_tensors(store):
    value = {"t": torch.arange(6.0).reshape(2, 3).T, "h": torch.ones(2, dtype=torch.bfloat16)}
    read = data.read(store.artifacts.path(data.put(store, value)))
    assert torch.equal(read["t"], value["t"])
    assert read["h"].dtype == torch.bfloat16


@pytest.mark.parametrize("value", [object(), [{1, 2}], numpy.array([object()]), {"a": b"bytes"}])
def test_what_is_no_data(store, value):
    with pytest.raises(BadTensor, match="cannot be carried as data"):
        data.put(store, value)


def test_a_folder_that_holds_no_data(store, tmp_path):
    (tmp_path / "a").write_text("x")
    folder = store.artifacts.path(store.artifacts.put(ArtifactDraft("data", tmp_path)))
    with pytest.raises(CorruptArtifact, match="the data cannot be read"):
        data.read(folder)
