"""A backend's own options: a frozen dataclass each, filled from what was typed; unknown keys are errors.

A backend file declares its class and names it ``BACKEND.options``::

    @dataclass(frozen=True)
    class InductorOptions:
        freezing: bool = True

:class:`~workbench.compile.CompileConfig` carries plain values, so that a recipe can be read where the backend is
not installed; :func:`read_options` turns them into the class, here and once more in the step's process.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ..errors import InputError

Scalar = bool | int | float | str
T = TypeVar("T")

_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """Of a backend that has none."""


def read_options(kind: type[T], given: Mapping[str, Scalar], backend: str) -> T:
    """Return the options of a backend; text becomes the type that the field declares.

    Parameters
    ----------
    kind
        The backend's options class: a frozen dataclass of bool, int, float, str and Literal fields.
    given
        Values by name; those left out take their default.
    backend
        Its name, for messages.

    Raises
    ------
    InputError
        If a name is unknown (names those there are), or a value does not fit its type.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Mine:
    ...     fast: bool = False
    ...     rounds: int = 3
    >>> read_options(Mine, {"fast": "yes"}, "mine")
    Mine(fast=True, rounds=3)
    """
    hints = get_type_hints(kind)
    if unknown := sorted(set(given) - set(hints)):
        known = ", ".join(describe_options(kind))
        raise InputError(
            f"the backend {backend!r} has no option {', '.join(unknown)}",
            where=unknown[0],
            fix=f"options: {known}" if known else f"{backend} takes no options",
        )
    return kind(**{name: _fit(value, hints[name], f"{backend}, {name}") for name, value in given.items()})


def describe_options(kind: type[Any]) -> list[str]:
    """Return the options of a class as ``name=default``.

    Examples
    --------
    >>> describe_options(NoOptions)
    []
    """
    return [f"{field.name}={_text(field.default)}" for field in dataclasses.fields(kind)]


def parse_pairs(pairs: Sequence[str]) -> dict[str, Scalar]:
    """Return ``name=value`` texts as a mapping.

    Raises
    ------
    InputError
        If one has no equals sign.

    Examples
    --------
    >>> parse_pairs(["freezing=off"])
    {'freezing': 'off'}
    """
    found: dict[str, Scalar] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise InputError(f"{pair!r} is no option", where="--option", fix="--option name=value")
        found[name.strip().replace("-", "_")] = value.strip()
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fit(value: Scalar, hint: Any, where: str) -> Scalar:
    """Return a value as the type `hint` says, or say what would fit."""
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        chosen = next((one for one in choices if str(one) == str(value)), None)
        if chosen is None:
            raise InputError(
                f"{value!r} is no choice", where=where, fix="one of: " + ", ".join(map(str, choices))
            )
        return chosen  # type: ignore[no-any-return]
    if hint is bool:
        word = _WORDS.get(str(value).lower())
        if word is None:
            raise InputError(f"{value!r} is neither true nor false", where=where, fix="true or false")
        return word
    try:
        return hint(value)  # type: ignore[no-any-return]
    except ValueError:
        raise InputError(f"{value!r} is no {hint.__name__}", where=where, fix=f"a {hint.__name__}") from None
