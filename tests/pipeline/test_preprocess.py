"""Raw items become batches by the given function or the declared one."""

import numpy
import pytest
import torch

from workbench.errors import EmptyData, InputError, MissingInput
from workbench.pipeline.preprocess import RAW_BATCH, batches
from workbench.store import ArtifactDraft
from workbench.types import Signature


def lengths(texts):
    """Turn texts into one tensor: what a tokenizer does."""
    return torch.tensor([[float(len(text))] for text in texts])


@pytest.fixture
def program(store):
    def put(preprocessing=""):
        folder = store.scratch()
        (folder / "f").write_text("x")
        signature = Signature((), (), preprocessing=preprocessing)
        return store.artifacts.put(ArtifactDraft("program", folder, signature=signature))

    return put


@pytest.mark.parametrize(
    "item",
    [torch.ones(2), numpy.ones(2), (torch.ones(1), torch.ones(1)), {"x": numpy.ones(1)}, [torch.ones(1)]],
)
def test_batches_pass_as_they_are(store, program, item):
    assert batches(store, program(), [item, item], None) == [item, item]


def test_one_batch_alone_is_a_list_of_one(store, program):
    batch = {"x": numpy.ones(1)}
    assert batches(store, program(), batch, None) == [batch]


def test_raw_items_go_through_the_given_function_in_chunks(store, program):
    texts = ["a" * n for n in range(RAW_BATCH + 2)]
    made = batches(store, program(), texts, lengths)
    assert [len(batch) for batch in made] == [RAW_BATCH, 2]
    assert made[1].tolist() == [[16.0], [17.0]]


def test_a_generator_is_read_once(store, program):
    assert len(batches(store, program(), (torch.ones(1) for _ in range(3)), None)) == 3


def test_the_declared_function_is_found_by_name(store, program):
    (batch,) = batches(store, program("torch:tensor"), [1.0, 2.0], None)
    assert batch.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("text", ["no_such_module:f", "torch:no_such_function", "def f(x):\n    return x\n"])
def test_a_declared_function_that_is_gone(store, program, text):
    with pytest.raises(MissingInput, match="declared preprocessing cannot be found"):
        batches(store, program(text), ["a"], None)


def test_raw_items_without_a_function(store, program):
    with pytest.raises(MissingInput, match="calibration items are str") as caught:
        batches(store, program(), ["a"], None)
    assert "--preprocess FN" in caught.value.fix


@pytest.mark.parametrize("data", [[], (), iter(())])
def test_an_empty_set(store, program, data):
    with pytest.raises(EmptyData, match="calibration set is empty"):
        batches(store, program(), data, None)


def test_a_function_that_raises(store, program):
    with pytest.raises(InputError, match="lengths raised TypeError"):
        batches(store, program(), [1, 2], lengths)
