"""Training data and loss of the notebook, made ready for the step that heals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import EmptyData, InputError, MissingInput
from ..store import Store
from . import callables, data

if TYPE_CHECKING:
    from ..quantize.heal import HealConfig

MAX_ITEMS = 20_000
"""Items read of a loader, which may never end."""
MAX_BYTES = 2 * 2**30


def fields(
    store: Store, heal: HealConfig | float | None, train: Any, loss: Callable[[Any, Any], Any] | None
) -> dict[str, Any]:
    """Return the fields of a quantize step that say how to heal; none of them without `heal`.

    Raises
    ------
    MissingInput
        If there is a budget without data.
    InputError
        If there are data or a loss without a budget.
    EmptyData
        If the loader gives nothing.
    """
    if heal is None:
        if train is not None or loss is not None:
            raise InputError("training data without a budget", where="train", fix="give --heal 60s too")
        return {}
    if train is None:
        raise MissingInput("healing needs training data", where="heal", fix="give --train LOADER")
    from ..quantize.heal import HealConfig

    return {
        "heal": heal if isinstance(heal, HealConfig) else HealConfig(float(heal)),
        "train": data.put(store, items(train)),
        "loss": None if loss is None else callables.send(store, loss),
    }


def items(loader: Any) -> list[Any]:
    """Return the items of a loader, as many as the bounds hold."""
    if not isinstance(loader, Iterable) or isinstance(loader, str | Mapping):
        raise InputError(
            f"a {type(loader).__name__} is no loader",
            where="train",
            fix="give an iterable of (inputs, target)",
        )
    kept: list[Any] = []
    held = 0
    for item in loader:
        held += _bytes(item)
        if len(kept) == MAX_ITEMS or held > MAX_BYTES:
            break
        kept.append(item)
    if not kept:
        raise EmptyData("the training set is empty", where="train", fix="give --train a loader with batches")
    return kept


def _bytes(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_bytes(v) for v in value.values())
    if isinstance(value, list | tuple):
        return sum(_bytes(v) for v in value)
    return int(getattr(value, "nbytes", 0))
