"""Transformers: MiniLM with its own weights, and one step of a small decoder that carries its cache in and out."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.examples import minilm as encoder
from workbench.examples import wordnet

from . import Specimen

_TOKENS, _CACHED = 128, 64
_CALIBRATED, _JUDGED = 64, 96  # pairs of sentences: none is in both
_WIDTH, _HEADS, _LAYERS, _WORDS = 256, 8, 4, 4096


class Step(nn.Module):
    """One pre-norm decoder layer that attends to what it has kept."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.joint, self.output = nn.Linear(_WIDTH, 3 * _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.up, self.down = nn.Linear(_WIDTH, 4 * _WIDTH), nn.Linear(4 * _WIDTH, _WIDTH)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: [batch, 1, width]; keys, values: [batch, heads, kept, width / heads] -> the same, one longer."""
        batch = x.shape[0]
        q, k, v = (
            part.view(batch, 1, _HEADS, -1).transpose(1, 2) for part in self.joint(self.first(x)).chunk(3, -1)
        )
        keys, values = torch.cat((keys, k), 2), torch.cat((values, v), 2)
        attended = functional.scaled_dot_product_attention(q, keys, values)
        x = x + self.output(attended.transpose(1, 2).reshape(batch, 1, _WIDTH))
        return x + self.down(functional.silu(self.up(self.second(x)))), keys, values


class Decoder(nn.Module):
    """The next word's logits, 4 layers of width 256."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(_WORDS, _WIDTH), nn.LayerNorm(_WIDTH)
        self.layers = nn.ModuleList(Step() for _ in range(_LAYERS))
        self.head = nn.Linear(_WIDTH, _WORDS, bias=False)

    def forward(self, word: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """word: int64 [batch, 1]; keys, values: [batch, layers, heads, kept, width / heads]."""
        x, kept = self.words(word), []
        for number, layer in enumerate(self.layers):
            x, *both = layer(x, keys[:, number], values[:, number])
            kept.append(both)
        keys, values = (torch.stack(part, 1) for part in zip(*kept, strict=True))
        return self.head(self.norm(x))[:, 0], keys, values


def decoder() -> Specimen:
    """Return the decoder with random weights, 64 words kept."""
    torch.manual_seed(0)
    model = Decoder()

    def inputs(batch: int) -> tuple[Tensor, Tensor, Tensor]:
        keys, values = torch.randn(2, batch, _LAYERS, _HEADS, _CACHED, _WIDTH // _HEADS)
        return torch.randint(0, _WORDS, (batch, 1)), keys, values

    return Specimen(model, inputs(8), [inputs(8) for _ in range(4)])


def minilm() -> Specimen:
    """Return MiniLM: timed on 128 tokens, calibrated and judged on sentences of WordNet."""
    return Specimen(encoder.load(), _tokens(), _batches(_CALIBRATED, skip=_JUDGED), cosine)


def _batches(pairs: int, skip: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Return the sentences of pairs of WordNet as ids and masks, eight a batch."""
    said, meant = wordnet.pairs(pairs, skip=skip)
    together = [*said, *meant]
    return [encoder.tokenize(together[at : at + 8]) for at in range(0, len(together), 8)]


def _tokens() -> tuple[Tensor, Tensor]:
    """Return ids and mask of eight sentences of full length: ``[8, 128]`` both."""
    ids = torch.randint(1996, 20000, (8, _TOKENS), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1] = 101, 102  # [CLS], [SEP]
    return ids, torch.ones_like(ids)


@functools.cache
def _expected() -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Return the float encoder's vectors of the sentences to judge by, and these in batches of ids and masks."""
    batches, model = _batches(_JUDGED), encoder.load()
    return torch.cat([model(*batch).detach() for batch in batches]), batches


def cosine(session: object) -> float:
    """Return the mean cosine of sentence vectors to those of the float encoder, in points."""
    expected, batches = _expected()
    given = torch.cat([torch.as_tensor(session(*batch)) for batch in batches])  # type: ignore[operator]
    return 100 * float(functional.cosine_similarity(given, expected).mean())
