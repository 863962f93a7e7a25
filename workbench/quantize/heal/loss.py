"""What healing minimises.

======================  ======================================================================
target                  default loss
======================  ======================================================================
integers                cross entropy; classes on the last axis, else on axis 1
floats                  mean squared error
none                    distance to the float program's outputs, relative to their power
======================  ======================================================================

With distillation half of it comes from the float program (the teacher): the Kullback-Leibler divergence at
temperature 2 where the targets are classes (Hinton et al. 2015, arXiv 1503.02531), else the squared distance. Its
outputs are computed once a row and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workbench.errors import BadTensor, EvaluationFailed, InputError
from workbench.types import Signature

from .data import Picked, TrainingData

_TEMPERATURE = 2.0
_TEACHER_BYTES = 2 * 2**30

Loss = Callable[[Any, Tensor], Any]
"""The user's loss: called with what the module returns and the target."""


class Objective:
    """The loss of a batch.

    Parameters
    ----------
    signature
        How the module returns its outputs.
    loss
        The user's, or None for the default.
    teacher
        Gives the float program's outputs of a batch, or None.
    """

    def __init__(self, signature: Signature, loss: Loss | None, teacher: Teacher | None) -> None:
        self._signature, self._loss, self._teacher = signature, loss, teacher

    def __call__(self, outputs: list[Tensor], batch: Picked) -> Tensor:
        """Return what to descend.

        Raises
        ------
        BadTensor
            If the default loss does not fit output and target.
        EvaluationFailed
            If the user's loss raises or returns no scalar tensor.
        """
        own = None if batch.target is None else self.task(outputs, batch.target)
        if self._teacher is None:
            assert own is not None, "without targets there is a teacher"
            return own
        taught = _distance(outputs, self._teacher(batch), classes=_is_classes(batch.target))
        return taught if own is None else (own + taught) / 2

    def task(self, outputs: list[Tensor], target: Tensor) -> Tensor:
        """Return the loss against the target alone: what the curve shows."""
        if self._loss is None:
            return default_loss(outputs[0], target)
        try:
            value = self._loss(self._structured(outputs), target)
        except Exception as error:
            raise EvaluationFailed(
                f"the loss raised {type(error).__name__}: {error}",
                where="--loss",
                fix="it is called with the module's output and the target of a training item",
            ) from error
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise EvaluationFailed("the loss returned no scalar tensor", where="--loss", fix="return a mean")
        return value.reshape(())

    def _structured(self, outputs: list[Tensor]) -> Any:
        if self._signature.output_structure == "dict":
            return dict(zip((s.name for s in self._signature.outputs), outputs, strict=True))
        return tuple(outputs) if self._signature.output_structure == "tuple" else outputs[0]


class Teacher:
    """The float program's outputs, computed once a row."""

    def __init__(self, forward: Callable[[list[Tensor]], list[Tensor]], data: TrainingData) -> None:
        self._forward, self._data = forward, data
        self._kept: list[Tensor] | dict[int, list[Tensor]] = {}
        self._known = torch.zeros(data.count, dtype=torch.bool)

    def __call__(self, batch: Picked) -> list[Tensor]:
        """Return the outputs of a batch.

        Raises
        ------
        InputError
            If the outputs of all rows would not fit into 2 GiB.
        """
        if not self._data.by_rows:
            item = int(batch.rows[0])
            assert isinstance(self._kept, dict)
            if item not in self._kept:
                self._kept[item] = self._run(batch)
            return self._kept[item]
        missing = batch.rows[~self._known[batch.rows]]
        if len(missing):
            fresh = self._run(self._data.pick(missing))
            if not isinstance(self._kept, list):
                self._kept = self._room(fresh)
            for kept, values in zip(self._kept, fresh, strict=True):
                kept[missing] = values
            self._known[missing] = True
        assert isinstance(self._kept, list)
        return [kept[batch.rows] for kept in self._kept]

    @torch.no_grad()
    def _run(self, batch: Picked) -> list[Tensor]:
        return [v.detach() for v in self._forward(batch.inputs)]

    def _room(self, fresh: list[Tensor]) -> list[Tensor]:
        size = sum(v[0].numel() * v.element_size() for v in fresh) * self._data.count
        if size > _TEACHER_BYTES:
            raise InputError(
                f"the teacher's outputs for all training rows take {size / 2**30:.1f} GiB",
                where="--distill",
                fix="give fewer training items, or heal without --distill",
            )
        return [v.new_empty((self._data.count, *v.shape[1:])) for v in fresh]


def default_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return cross entropy for class targets, mean squared error for float ones.

    Raises
    ------
    BadTensor
        If the shapes do not fit.
    """
    if _is_classes(target):
        if output.shape[:-1] == target.shape:
            return functional.cross_entropy(output.flatten(0, -2).float(), target.flatten().long())
        if output.dim() == target.dim() + 1 and output.shape[:1] + output.shape[2:] == target.shape:
            return functional.cross_entropy(output.float(), target.long())
    elif output.shape == target.shape:
        return functional.mse_loss(output, target)
    raise BadTensor(
        f"no default loss for output {list(output.shape)} and {target.dtype} target {list(target.shape)}",
        where="train",
        fix="give --loss FN: called with the module's output and the target",
    )


def _distance(outputs: list[Tensor], taught: list[Tensor], *, classes: bool) -> Tensor:
    if classes:
        ours = functional.log_softmax(outputs[0].flatten(0, -2) / _TEMPERATURE, -1)
        theirs = functional.log_softmax(taught[0].flatten(0, -2) / _TEMPERATURE, -1)
        return functional.kl_div(ours, theirs, reduction="batchmean", log_target=True) * _TEMPERATURE**2
    floats = [(o, t) for o, t in zip(outputs, taught, strict=True) if o.is_floating_point()]
    return torch.stack(
        [(o - t).square().mean() / t.square().mean().clamp(min=1e-12) for o, t in floats]
    ).mean()


def _is_classes(target: Tensor | None) -> bool:
    return target is not None and not target.is_floating_point()
