"""``@wb.step``: a Python function as a step of pipelines."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from ...errors import InputError
from ..function_source import FunctionSource, source_of

TYPES: Mapping[Any, str] = {
    int: "NUMBER_INTEGER",
    float: "NUMBER_DOUBLE",
    str: "STRING",
    bool: "BOOLEAN",
    list: "LIST",
    dict: "STRUCT",
}
"""Python types that travel as parameters (JSON), with their names in the IR."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


@dataclass(frozen=True)
class Needs:
    """What a step asks of who runs it.

    Parameters
    ----------
    cpus
        Processors it may use; 0 for one, unpromised.
    memory_bytes
        Memory it may use; 0 for no limit.
    accelerators
        GPUs; the local executor has none to give.
    retries, wait_s
        Attempts after a failed one, and seconds before the first of them (doubled before each next).
    timeout_s
        Seconds one attempt may take; 0 for no limit.
    cache
        Whether an earlier result for the same code, inputs and environment will do.
    """

    cpus: float = 0.0
    memory_bytes: int = 0
    accelerators: int = 0
    retries: int = 0
    wait_s: float = 0.0
    timeout_s: float = 0.0
    cache: bool = True


class StepFunction:
    """A function that is a step: called inside a pipeline it adds a task, called outside it just runs.

    Parameters
    ----------
    function, needs
        What to run, and what it asks for.
    """

    def __init__(self, function: Callable[..., Any], needs: Needs) -> None:
        functools.update_wrapper(self, function)
        self.function, self.needs = function, needs
        self.signature = inspect.signature(function)
        self._hints = _hints(function)
        for parameter in self.signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise InputError(
                    f"a step names its inputs, {parameter} does not",
                    where=self.name,
                    fix="write each input out: def step(a, b=1)",
                )

    @property
    def name(self) -> str:
        """The function's name."""
        return str(self.function.__name__)

    def source(self) -> FunctionSource:
        """Return the function as it travels."""
        return source_of(self.function)

    def output_type(self) -> str:
        """Return the IR's type of what it returns; empty for an artifact."""
        return parameter_type(self._hints.get("return"))

    def input_type(self, name: str) -> str:
        """Return the IR's type of an input; empty for an artifact or when it is not written down."""
        return parameter_type(self._hints.get(name))

    def takes_path(self, name: str) -> bool:
        """Return whether an input wants an artifact's files rather than the value in them."""
        return self._hints.get(name) is Path

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function; inside a pipeline add a task instead and return what stands for its output."""
        from .trace import tracing

        trace = tracing()
        return self.function(*args, **kwargs) if trace is None else trace.task(self, args, kwargs)

    def map(self, items: Any, **common: Any) -> Any:
        """Run the step once for each item of a list, all at once where there is room.

        Parameters
        ----------
        items
            A list, or what stands for one inside a pipeline. Each item is the step's first input.
        **common
            The other inputs, the same for all.

        Returns
        -------
        list
            The outputs in the order of the items.

        Examples
        --------
        >>> @step
        ... def square(x: int) -> int:
        ...     return x * x
        >>> square.map([1, 2, 3])
        [1, 4, 9]
        """
        from .pipeline import each
        from .trace import tracing

        if tracing() is None:
            return [self.function(item, **common) for item in items]
        with each(items) as item:
            return self(item, **common)

    def __repr__(self) -> str:
        return f"<step {self.name}{self.signature}>"


@overload
def step(function: Callable[..., Any]) -> StepFunction: ...


@overload
def step(
    *,
    cpus: float = 0.0,
    memory: str | int = 0,
    accelerators: int = 0,
    retries: int = 0,
    wait_s: float = 0.0,
    timeout_s: float = 0.0,
    cache: bool = True,
) -> Callable[[Callable[..., Any]], StepFunction]: ...


def step(
    function: Callable[..., Any] | None = None, *, memory: str | int = 0, **needs: Any
) -> StepFunction | Callable[[Callable[..., Any]], StepFunction]:
    """Make a function a step.

    Inputs and outputs annotated ``int float str bool list dict`` travel as parameters (JSON); anything else is
    an artifact: tensors, arrays and nested plain values, stored by content. A function that returns a
    :class:`pathlib.Path` stores the file or folder there; an input annotated ``Path`` gets the files.

    Parameters
    ----------
    function
        Its source travels, with the imports, functions and constants it uses.
    memory
        Most memory, in bytes or as ``"512M"`` or ``"2Gi"``.
    **needs
        As in :class:`Needs`: ``cpus accelerators retries wait_s timeout_s cache``.

    Raises
    ------
    InputError
        If an input has no name, or a need no sense.

    Examples
    --------
    >>> @step(retries=2, timeout_s=60, memory="1Gi")
    ... def train(rate: float) -> float:
    ...     return rate * 2
    >>> train(0.5)
    1.0
    """
    wanted = Needs(memory_bytes=size_of(memory), **needs)
    low = min(wanted.cpus, wanted.accelerators, wanted.retries, wanted.wait_s, wanted.timeout_s)
    if low < 0:
        raise InputError("a need cannot be below zero", where=getattr(function, "__name__", "step"))
    if function is not None:
        return StepFunction(function, wanted)
    return lambda given: StepFunction(given, wanted)


def size_of(text: str | int) -> int:
    """Return bytes written as Kubernetes writes them.

    Examples
    --------
    >>> size_of("512M"), size_of("2Gi")
    (512000000, 2147483648)
    """
    if isinstance(text, int):
        return text
    digits = text.rstrip("BKMGi")
    unit = text[len(digits) :].removesuffix("B").upper()
    try:
        return int(float(digits) * _UNITS[unit])
    except (ValueError, KeyError) as error:
        raise InputError(f"{text!r} is no size", where="memory", fix="write 512M or 2Gi") from error


def parameter_type(hint: Any) -> str:
    """Return the IR's name of a Python type, empty for one that travels as an artifact.

    Examples
    --------
    >>> parameter_type(list[int]), parameter_type(float), parameter_type(Path)
    ('LIST', 'NUMBER_DOUBLE', '')
    """
    return TYPES.get(typing.get_origin(hint) or hint, "")


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - a hint may name what only a checker knows; then it says nothing here
        return {key: value for key, value in function.__annotations__.items() if not isinstance(value, str)}
