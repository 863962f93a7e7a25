"""The real encoder loads from its package and finds real glosses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.errors import MissingInput
from workbench.examples import minilm, wordnet


def test_like_sentences_are_near() -> None:
    vectors = minilm.embed(
        minilm.load(), ["A man is eating food.", "Someone is having a meal.", "The stock market fell today."]
    )
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    assert near == pytest.approx(0.689, abs=0.02)
    assert far < 0.1


def test_padding_does_not_change_the_vector() -> None:
    model = minilm.load()
    alone = minilm.embed(model, ["A small bird."])
    padded = minilm.embed(
        model, ["A small bird.", "A much longer sentence that forces padding of the first one."]
    )
    assert torch.allclose(alone[0], padded[0], atol=1e-5)


def test_retrieval_on_wordnet() -> None:
    queries, documents = wordnet.pairs(100)
    assert minilm.recall_at_1(minilm.load(), queries, documents) > 0.4


def test_disjoint_parts_of_wordnet() -> None:
    first, second = wordnet.pairs(50)[0], wordnet.pairs(50, skip=50)[0]
    assert not set(first) & set(second)


def test_absent_wordnet_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="not installed") as caught:
        wordnet.pairs(1, folder=tmp_path)
    assert caught.value.fix == "apt install wordnet-base"
