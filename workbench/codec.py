"""Frozen dataclasses to JSON and back, strictly.

Every value that crosses a process boundary or is stored (a recipe step, a signature, a manifest) is a
frozen dataclass registered here. Its JSON form carries ``_type`` and ``_version``; an unknown key, a
missing key or a newer version is an error, never a guess.

The canonical text (:func:`dumps`) has sorted keys and no spaces: equal values have equal bytes and so
equal digests.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .errors import InputError

T = TypeVar("T")
_REGISTRY: dict[str, tuple[type[Any], int]] = {}
_HINTS: dict[type[Any], dict[str, Any]] = {}


def register(name: str, version: int = 1) -> Callable[[type[T]], type[T]]:
    """Register a frozen dataclass under a ``_type`` name (class decorator)."""

    def add(cls: type[T]) -> type[T]:
        _REGISTRY[name] = (cls, version)
        cls._codec_name = name  # type: ignore[attr-defined]
        return cls

    return add


def to_json(value: Any) -> Any:
    """Return the JSON-able form of a value: dataclasses become tagged objects, tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = type(value)._codec_name  # type: ignore[attr-defined]
        body = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"_type": name, "_version": _REGISTRY[name][1], **body}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    return value


def from_json(data: Any) -> Any:
    """Return the value whose JSON form is `data`.

    Raises
    ------
    InputError
        If a tagged object has an unknown type, a newer version, or an unknown or missing key.
    """
    if isinstance(data, str | int | float | None):  # by far the most of it
        return data
    if isinstance(data, list):
        return tuple(from_json(v) for v in data)
    if not isinstance(data, Mapping):
        return data
    if "_type" not in data:
        return {str(k): from_json(v) for k, v in data.items()}
    name, body = str(data["_type"]), {k: v for k, v in data.items() if not k.startswith("_")}
    if name not in _REGISTRY:
        raise InputError(f"unknown record type {name!r}", where="_type", fix=_known())
    cls, version = _REGISTRY[name]
    if data.get("_version") != version:
        raise InputError(
            f"{name} has version {data.get('_version')!r}, this workbench reads {version}",
            where="_version",
            fix="upgrade the workbench or write the record again",
        )
    return _build(cls, name, body)


def _build(cls: type[Any], name: str, body: dict[str, Any]) -> Any:
    fields = {f.name: f for f in dataclasses.fields(cls)}
    unknown = sorted(set(body) - set(fields))
    if unknown:
        raise InputError(
            f"{name} has no field {', '.join(unknown)}", where=name, fix=f"fields: {', '.join(fields)}"
        )
    absent = [
        f.name
        for f in fields.values()
        if f.name not in body
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if absent:
        raise InputError(f"{name} needs {', '.join(absent)}", where=name)
    if cls not in _HINTS:  # working them out takes most of the time of reading a record
        _HINTS[cls] = typing.get_type_hints(cls)
    hints = _HINTS[cls]
    return cls(**{k: _fit(from_json(v), hints[k]) for k, v in body.items()})


def _fit(value: Any, hint: Any) -> Any:
    """Floats written as integers come back as floats; everything else is already right."""
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, types.UnionType) and float in hint.__args__ and int not in hint.__args__:
        return _fit(value, float) if value is not None else None
    return value


def _known() -> str:
    return "known: " + ", ".join(sorted(_REGISTRY))


def dumps(value: Any) -> str:
    """Return the canonical JSON text (sorted keys, no spaces, no NaN)."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def loads(text: str | bytes) -> Any:
    """Return the value written by :func:`dumps`."""
    return from_json(json.loads(text))


def digest(value: Any) -> str:
    """Return ``sha256:<hex>`` of the canonical text.

    Examples
    --------
    >>> digest({"a": 1})[:13]
    'sha256:015abd'
    """
    return "sha256:" + hashlib.sha256(dumps(value).encode()).hexdigest()
