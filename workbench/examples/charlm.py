"""A small character language model on real text: Python's own language reference, which every Python carries.

``pydoc_data.topics`` holds 450,000 characters of English prose and code. The model is a causal transformer in plain
torch: 2 blocks of width 128 over 64 characters, 0.4 million parameters.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CONTEXT = 64
BATCH = 16
_WIDTH, _HEADS, _BLOCKS = 128, 4, 2
_HELD_OUT = 0.1


@dataclass(frozen=True)
class Corpus:
    """Text as numbers: int64 [n] to train on and to test on, and the characters they stand for."""

    train: Tensor
    test: Tensor
    alphabet: str

    def windows(self, part: Tensor, stride: int = CONTEXT) -> tuple[Tensor, Tensor]:
        """Return every window of a part and what comes after each of its characters: two int64 [n, CONTEXT]."""
        starts = range(0, len(part) - CONTEXT - 1, stride)
        return (
            torch.stack([part[i : i + CONTEXT] for i in starts]),
            torch.stack([part[i + 1 : i + CONTEXT + 1] for i in starts]),
        )


def load() -> Corpus:
    """Return the text; every tenth stretch of 4,096 characters is held out."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    alphabet = "".join(sorted(set(text)))
    place = {character: index for index, character in enumerate(alphabet)}
    numbers = torch.tensor([place[character] for character in text])
    stretches = numbers.split(4096)  # type: ignore[no-untyped-call]
    every = round(1 / _HELD_OUT)
    test = [s for i, s in enumerate(stretches) if i % every == every - 1]
    train = [s for i, s in enumerate(stretches) if i % every != every - 1]
    return Corpus(torch.cat(train), torch.cat(test), alphabet)


class CharLM(nn.Module):
    """ids int64 [batch, CONTEXT] -> logits [batch, CONTEXT, characters]."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(characters, _WIDTH)
        self.places = nn.Parameter(torch.randn(CONTEXT, _WIDTH) * 0.02)
        self.blocks = nn.ModuleList(_Block() for _ in range(_BLOCKS))
        self.norm, self.head = nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, characters)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of the next character at every place."""
        x = self.characters(ids) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))  # type: ignore[no-any-return]


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.query, self.key, self.value, self.out = (nn.Linear(_WIDTH, _WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(_WIDTH, 4 * _WIDTH), nn.Linear(4 * _WIDTH, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        query, key, value = (
            f(y).unflatten(-1, (_HEADS, -1)).transpose(1, 2) for f in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.after(x))))  # type: ignore[no-any-return]


def train(model: CharLM, corpus: Corpus, cpu_s: float = 30.0, seed: int = 0) -> CharLM:
    """Train in place for a number of CPU seconds; returns the model in evaluation mode."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    model.train()
    spent = 0.0
    for ids, following in batches(corpus, 100_000, seed):
        start = time.process_time()
        loss = functional.cross_entropy(model(ids).flatten(0, 1), following.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        share = spent / cpu_s
        for group in optimizer.param_groups:
            group["lr"] = (
                2e-3 * min(1.0, (share + 0.01) / 0.05) * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
            )
        optimizer.step()
        spent += time.process_time() - start
        if spent >= cpu_s:
            break
    return model.eval()


def batches(corpus: Corpus, count: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield random batches of the training part: (ids, following), both int64 [BATCH, CONTEXT]."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        starts = torch.randint(0, len(corpus.train) - CONTEXT - 1, (BATCH,), generator=generator)
        window = corpus.train[starts.unsqueeze(1) + torch.arange(CONTEXT + 1)]
        yield window[:, :-1].contiguous(), window[:, 1:].contiguous()


def perplexity(model: Any, corpus: Corpus, windows: int = 256) -> float:
    """Return how many characters `model` (a module or a session) is torn between, on held-out text."""
    ids, following = (part[:windows] for part in corpus.windows(corpus.test))
    losses = []
    with torch.inference_mode():
        for start in range(0, len(ids), BATCH):
            logits = model(ids[start : start + BATCH])
            target = following[start : start + BATCH].flatten()
            losses.append(functional.cross_entropy(logits.flatten(0, 1), target, reduction="sum"))
    return math.exp(float(torch.stack(losses).sum()) / following.numel())
