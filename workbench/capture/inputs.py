"""Bind example inputs to the parameters of a module's ``forward`` and give every tensor a name.

A tensor takes its parameter's name; tensors inside a tuple or dict take ``<parameter>_<key>``
(``state`` = ``(h, c)`` gives ``state_0``, ``state_1``).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import BadTensor, EmptyData, NonFinite

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class BoundInputs:
    """Example inputs as ``forward`` takes them.

    Parameters
    ----------
    args, kwargs
        The call.
    arguments
        The same values by parameter of ``forward``, in call order; nested containers kept.
    tensors
        Every tensor by its name, in the order in which the program takes them.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    arguments: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def bind_inputs(module: nn.Module, inputs: Any) -> BoundInputs:
    """Return how `inputs` (a tensor, a tuple or list, or a dict) call the module.

    Raises
    ------
    BadTensor
        If they do not fit ``forward`` or hold something that is not a tensor.
    EmptyData
        If a tensor has no elements.
    NonFinite
        If a tensor holds NaN or Inf.
    """
    args, kwargs = _split(module, inputs)
    takes = inspect.signature(module.forward)
    if any(p.kind is p.VAR_KEYWORD for p in takes.parameters.values()):
        raise BadTensor(
            f"forward{takes} hides its inputs in **keywords",
            where=type(module).__name__,
            fix="wrap it in a module whose forward names each input",
        )
    try:
        bound = takes.bind(*args, **kwargs)
    except TypeError as error:
        raise BadTensor(
            f"the inputs do not fit forward{takes}: {error}",
            where=type(module).__name__,
            fix="pass a tensor, a tuple of tensors in order, or a dict of tensors by parameter name",
        ) from None
    tensors = dict(_flatten(bound.arguments))
    _check(tensors)
    return BoundInputs(bound.args, bound.kwargs, bound.arguments, tensors)


def _split(module: nn.Module, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    import torch

    if isinstance(inputs, Mapping):
        takes = list(inspect.signature(module.forward).parameters.values())
        only = (
            takes[0] if len(takes) == 1 and takes[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD else None
        )
        if only and only.name not in inputs and only.annotation is not torch.Tensor:
            return (dict(inputs),), {}  # forward(batch): it takes the dict itself
        return (), {str(k): v for k, v in inputs.items()}
    return (tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)), {}


def _flatten(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    values = list(arguments.values())
    if len(values) == 1 and isinstance(values[0], Mapping):
        yield from _leaves("", values[0])  # forward(batch: dict): its keys are the names
    else:
        for name, value in arguments.items():
            yield from _leaves(name, value)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif type(value) in (tuple, list):
        for index, item in enumerate(value):
            yield from _leaves(f"{name}_{index}", item)
    elif type(value) is dict:
        for key, item in value.items():
            yield from _leaves(f"{name}_{key}" if name else str(key), item)
    else:
        raise BadTensor(
            f"input {name!r} is a {type(value).__name__}, not a tensor",
            where=name,
            fix="pass tensors only: leave optional inputs out, set options when you build the module",
        )


def _check(tensors: Mapping[str, Tensor]) -> None:
    import torch

    if not tensors:
        raise EmptyData("there are no example inputs", fix="pass at least one tensor")
    for name, tensor in tensors.items():
        if tensor.dtype not in _dtypes():
            raise BadTensor(
                f"input {name!r} is {tensor.dtype}, which requests cannot carry",
                where=name,
                fix="convert it",
            )
        if tensor.numel() == 0:
            raise EmptyData(f"input {name!r} has shape {list(tensor.shape)}: no elements", where=name)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NonFinite(f"input {name!r} holds NaN or Inf", where=name, fix="check how it was prepared")


def _dtypes() -> frozenset[torch.dtype]:
    """Return the dtypes a signature can name, and bfloat16, which crosses as float32."""
    import torch

    return frozenset(
        {torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.uint8}
        | {torch.int8, torch.int16, torch.int32, torch.int64}
    )
