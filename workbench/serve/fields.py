"""Fields of a JSON object that came over the network: each is what it must be, or a :class:`BadRequest`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Never

from ..errors import BadRequest

_NOT_SPOKEN = ("classification",)


def parse_json(text: bytes | bytearray | memoryview) -> dict[str, Any]:
    """Return a JSON object, refusing NaN, excessive depth and everything that is not an object."""
    try:
        document = _DECODER.decode(str(text, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the JSON cannot be read: {error}", where="request body") from error
    if not isinstance(document, dict):
        raise BadRequest("the JSON must be an object", where="request body")
    return document


def parameters(item: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return the object under ``parameters``, empty when there is none."""
    found = item.get("parameters", {})
    if not isinstance(found, dict):
        raise BadRequest("parameters must be an object", where=where)
    for name in _NOT_SPOKEN:
        if name in found:
            raise BadRequest(f"the parameter {name!r} is not supported by this server", where=where)
    return found


def objects(value: object, where: str) -> list[dict[str, Any]]:
    """Return a list of objects."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRequest(f"{where!r} must be a list of objects", where="request body")
    return value


def tensor_name(item: Mapping[str, Any], where: str) -> str:
    """Return the name of a tensor, which is never empty."""
    name = text(item, "name", where=where)
    if not name:
        raise BadRequest("a tensor needs a name", where=where)
    return name


def text(item: Mapping[str, Any], key: str, *, where: str) -> str:
    """Return a text, empty when absent."""
    value = item.get(key, "")
    if not isinstance(value, str):
        raise BadRequest(f"{key} must be text", where=where)
    return value


def flag(item: Mapping[str, Any], key: str, default: bool, *, where: str) -> bool:
    """Return a truth value."""
    value = item.get(key, default)
    if not isinstance(value, bool):
        raise BadRequest(f"{key} must be true or false", where=where)
    return value


def size(item: Mapping[str, Any], key: str, default: int | None, *, where: str) -> int:
    """Return a number of bytes between 0 and 2**63; without a `default` it must be given."""
    value = item.get(key, default)
    if type(value) is not int or not 0 <= value < 2**63:
        raise BadRequest(f"{key} must be a number of bytes, not {value!r}", where=where)
    return value


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON; send such values as binary data")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # made once: json.loads would make one a call
