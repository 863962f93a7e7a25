"""The real encoder loads from its package and finds real glosses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.errors import MissingInput
from workbench.examples import minilm, wordnet


@pytest.fixture(scope="module")
def encoder() -> torch.nn.Module:
    return minilm.load()


def test_like_sentences_are_near(encoder: torch.nn.Module) -> None:
    vectors = minilm.embed(
        encoder, ["A man is eating food.", "Someone is having a meal.", "The stock market fell today."]
    )
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    assert near == pytest.approx(0.689, abs=0.02)
    assert far < 0.1


def test_padding_does_not_change_the_vector(encoder: torch.nn.Module) -> None:
    alone = minilm.embed(encoder, ["A small bird."])
    padded = minilm.embed(
        encoder, ["A small bird.", "A much longer sentence that forces padding of the first one."]
    )
    assert torch.allclose(alone[0], padded[0], atol=1e-5)


def test_retrieval_on_wordnet(encoder: torch.nn.Module) -> None:
    queries, documents = wordnet.pairs(100)
    assert minilm.recall_at_1(encoder, queries, documents) > 0.4


def test_disjoint_parts_of_wordnet() -> None:
    first, second = wordnet.pairs(50)[0], wordnet.pairs(50, skip=50)[0]
    assert not set(first) & set(second)


def test_absent_wordnet_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="not installed") as caught:
        wordnet.pairs(1, folder=tmp_path)
    assert caught.value.fix == "apt install wordnet-base"
