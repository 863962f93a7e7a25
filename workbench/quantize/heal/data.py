"""The training data: pairs of what the model is called with and what it should give.

An item of a loader is ``(inputs, target)``: a pair, its first part what the model takes (a tensor, a tuple, a
mapping). Anything else is inputs without a target. Where every item has the same sizes but for the first, and the
program lets that one change, rows are shuffled across items; else whole items are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.errors import BadTensor, EmptyData
from workbench.types import Signature

from ..calibrate.feeds import batches

HELD_OUT = 0.1
"""Share of the data the curve is measured on; never trained on."""
_HELD_OUT_BATCHES = 8

Example = tuple[list[Tensor], Tensor | None]


@dataclass(frozen=True)
class Picked:
    """One batch: inputs in the signature's order, target, and which rows (or which item) they are."""

    inputs: list[Tensor]
    target: Tensor | None
    rows: Tensor


class TrainingData:
    """Batches in an order that depends on the seed and the number of the step alone.

    Parameters
    ----------
    items
        Of the user's loader.
    signature
        What the program takes.
    seed
        Of the order.

    Raises
    ------
    EmptyData
        If there are fewer than two items to tell apart: one to train on, one to hold out.
    BadTensor, NonFinite
        If an item does not fit the program, or some have targets and some have not.
    """

    def __init__(self, items: Any, signature: Signature, seed: int) -> None:
        examples = [_example(item, index, signature) for index, item in enumerate(items)]
        if not examples:
            raise EmptyData(
                "the training set is empty", where="train", fix="give --train a loader with batches"
            )
        if len({target is None for _, target in examples}) > 1:
            raise BadTensor("some training items have a target and some have none", where="train")
        self.has_targets = examples[0][1] is not None
        self._joined = _join(examples, signature)
        self._items = examples
        self._seed = seed
        self._batch = examples[0][0][0].shape[0] if self._joined else 1
        count = len(self._joined[0][0]) if self._joined else len(examples)
        if count < 2:
            raise EmptyData("one training item cannot be split", where="train", fix="give more batches")
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        held = min(max(1, round(HELD_OUT * count)), _HELD_OUT_BATCHES * self._batch, count - 1)
        self._held, self._train = order[:held], order[held:]

    @property
    def count(self) -> int:
        """Rows (or items) there are, held-out ones included."""
        return len(self._held) + len(self._train)

    @property
    def by_rows(self) -> bool:
        """Whether rows are shuffled across items."""
        return self._joined is not None

    def batch(self, step: int) -> Picked:
        """Return the batch of a step: every epoch in an order of its own."""
        epoch, place = divmod(step, self.steps)
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        order = self._train[torch.randperm(len(self._train), generator=generator)]
        return self.pick(order[place * self._batch : (place + 1) * self._batch])

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return -(-len(self._train) // self._batch)

    def held_out(self) -> Iterator[Picked]:
        """Yield the batches that are never trained on."""
        for rows in torch.split(self._held, self._batch):
            yield self.pick(rows)

    def pick(self, rows: Tensor) -> Picked:
        """Return given rows (or the one item) as a batch."""
        if self._joined is None:
            return Picked(*self._items[int(rows[0])], rows)
        inputs, target = self._joined
        return Picked([x[rows] for x in inputs], None if target is None else target[rows], rows)


def _example(item: Any, index: int, signature: Signature) -> Example:
    paired = isinstance(item, list | tuple) and len(item) == 2
    given, target = item if paired else (item, None)
    (inputs,) = batches([given], signature, where=f"training item {index}")
    return inputs, None if target is None else torch.as_tensor(target)


def _join(examples: list[Example], signature: Signature) -> Example | None:
    """Return all rows as one example, None where they cannot be joined."""
    if not all(spec.shape and isinstance(spec.shape[0], str) for spec in signature.inputs):
        return None
    kept = [[*inputs, *([] if target is None else [target])] for inputs, target in examples]
    tails = {tuple(t.shape[1:] for t in tensors) for tensors in kept}
    if len(tails) > 1 or any(len({t.shape[:1] for t in tensors}) > 1 for tensors in kept):
        return None
    whole = [torch.cat(parts) for parts in zip(*kept, strict=True)]
    return (whole, None) if examples[0][1] is None else (whole[:-1], whole[-1])
