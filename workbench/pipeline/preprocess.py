"""Raw data to model inputs: with the function the user gives, or the one declared at capture."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..errors import EmptyData, InputError, MissingInput
from ..store import Store
from . import callables
from .recipe import Recipe, loads

RAW_BATCH = 16
"""How many raw items are turned into one batch of inputs."""


def batches(store: Store, program: str, data: Any, function: Callable[..., Any] | None) -> list[Any]:
    """Return calibration data as a list of batches the model can be called with.

    Parameters
    ----------
    store, program
        The captured program (digest) whose declared preprocessing applies to raw data.
    data
        An iterable of batches (tensors, arrays, tuples or mappings of them), or of raw items such as texts.
    function
        Turns a list of raw items into one batch; None for the declared one, used only when items hold no
        tensor.

    Raises
    ------
    EmptyData
        If there is no item.
    MissingInput
        If items are raw and no preprocessing was given or declared.
    InputError
        If the function raises.
    """
    if isinstance(data, str | Mapping) or not isinstance(data, Iterable):
        data = [data]
    items = list(data)
    if not items:
        raise EmptyData(
            "the calibration set is empty", where="calibrate", fix="give 16 to 128 batches or texts"
        )
    if function is None:
        if _has_array(items[0]):
            return items
        function = declared(store, program)
    if function is None:
        raise MissingInput(
            f"calibration items are {type(items[0]).__name__}, and no preprocessing turns them into inputs",
            where="calibrate",
            fix="give --preprocess FN, or declare it: %mlops capture ... --preprocess FN",
        )
    return [_apply(function, chunk) for chunk in _chunks(items)]


def declared(store: Store, program: str) -> Callable[..., Any] | None:
    """Return the preprocessing declared when a program was captured, or None.

    Raises
    ------
    MissingInput
        If it was declared but cannot be found again in this process.
    """
    text = (signature := store.artifacts.manifest(program).signature) and signature.preprocessing
    if not text:
        return None
    for run_id, position in store.runs.made(program):
        work = loads(store.runs.get(run_id).recipe)
        step = work.steps[position] if isinstance(work, Recipe) else None  # a pipeline's step has it by name
        if (function := getattr(step, "preprocess", None)) is not None:
            return callables.receive(store, function)
    module, _, name = text.partition(":")
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError, ValueError) as error:
        raise MissingInput(
            "the declared preprocessing cannot be found again", where=text, fix="give --preprocess FN"
        ) from error


def _apply(function: Callable[..., Any], items: list[Any]) -> Any:
    try:
        return function(items)
    except Exception as error:
        name = getattr(function, "__name__", repr(function))
        raise InputError(f"{name} raised {type(error).__name__}: {error}", where="preprocessing") from error


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    waiting = iter(items)
    while chunk := list(itertools.islice(waiting, RAW_BATCH)):
        yield chunk


def _has_array(item: Any) -> bool:
    if isinstance(item, Mapping):
        return any(_has_array(value) for value in item.values())
    if isinstance(item, list | tuple):
        return any(_has_array(value) for value in item)
    return hasattr(item, "dtype") and hasattr(item, "shape")
