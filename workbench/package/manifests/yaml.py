"""Documents as YAML: mappings, lists and plain values, which is all that manifests are made of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def dump(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return the documents as one YAML stream.

    Texts are written in double quotes, as JSON writes them: YAML takes that, and nothing is mistaken for a number,
    a date or ``no``.

    Examples
    --------
    >>> print(dump([{"kind": "Service", "ports": [{"port": 80}], "on": True}]), end="")
    kind: "Service"
    ports:
      - port: 80
    "on": true
    """
    return "---\n".join("\n".join(_mapping(document, "")) + "\n" for document in documents)


def _mapping(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, item in value.items():
        # Bare keys are easier to read; words that YAML 1.1 takes for truth values must be quoted.
        name = key if _BARE.fullmatch(key) and key.lower() not in _WORDS else _quoted(key)
        yield from _entry(f"{indent}{name}:", item, indent + "  ")


def _entry(head: str, item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, Mapping) and item:
        yield head
        yield from _mapping(item, indent)
    elif isinstance(item, list | tuple) and item:
        yield head
        for one in item:
            yield from _item(one, indent)
    else:
        yield f"{head} {_plain(item)}"


def _item(one: Any, indent: str) -> Iterator[str]:
    if isinstance(one, Mapping) and one:
        first, *rest = _mapping(one, indent + "  ")
        yield f"{indent}- {first.lstrip()}"
        yield from rest
    else:
        yield f"{indent}- {_plain(one)}"


def _plain(item: Any) -> str:
    if isinstance(item, str):
        return _quoted(item)
    if isinstance(item, Mapping):
        return "{" + ", ".join(f"{_quoted(key)}: {_plain(one)}" for key, one in item.items()) + "}"
    if isinstance(item, list | tuple):
        return "[" + ", ".join(map(_plain, item)) + "]"
    return json.dumps(item)


def _quoted(text: str) -> str:
    return (
        '"' + "".join(one if one.isprintable() and one not in '"\\' else _escape(one) for one in text) + '"'
    )


def _escape(one: str) -> str:
    code = ord(one)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


_BARE = re.compile("[A-Za-z][A-Za-z0-9_]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
