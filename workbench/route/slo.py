"""Read a canary's budget from a line such as ``service_p<5ms, rss<+64MiB, hang<50ms`` or from a TOML file.

======================  ====================================================================
``service_p<5ms``       service time of a request (kernel) or its latency (user-space proxy)
``errors<8``            bad requests out of the last 64, beyond the stable track's
``runq<2ms``            waits for a processor
``rss<+64MiB``          growth of a replica's memory since it got traffic
``hang<50ms``           requests left unread, or several unanswered
``cuda_errors<1``       failed CUDA calls of a replica
``cuda_launches<1000``  its launches between two answers
``syscalls=ptrace+bpf`` forbidden system calls; ``none`` forbids nothing
======================  ====================================================================
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingInput
from .kernel.syscalls import number_of
from .policy import Budget

_TIMES = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_SIZES = {
    "": 1,
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}
_EXAMPLE = "service_p<5ms, rss<+64MiB, hang<50ms"
_TERM = re.compile(r"\s*(\w+)\s*(<|=)\s*(\S+)\s*")
_NUMBER = re.compile(r"\+?(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")


def parse(text: str) -> Budget:
    """Return the budget that a line or a TOML file (a path that ends with ``.toml``) describes.

    Raises
    ------
    InputError
        If a term, a unit or a system call is not known.
    MissingInput
        If the file is not there.

    Examples
    --------
    >>> budget = parse("service_p<5ms, rss<+64MiB, hang<50ms")
    >>> budget.latency_ms, budget.memory_bytes, budget.hang_ms
    (5.0, 67108864, 50.0)
    """
    if text.strip().endswith(".toml"):
        return _build(_read(Path(text.strip())), text.strip())
    terms: dict[str, Any] = {}
    for term in filter(None, (part.strip() for part in text.split(","))):
        found = _TERM.fullmatch(term)
        if not found:
            raise InputError(f"{term!r} is no term of a policy", where="slo", fix=_EXAMPLE)
        terms[found[1]] = found[3].split("+") if found[1] == "syscalls" else found[3]
    return _build(terms, "slo")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise MissingInput(f"the policy cannot be read: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the policy is not TOML: {error}", where=str(path)) from error
    table = found.get("slo", found)
    return table if isinstance(table, dict) else {}


def _build(terms: dict[str, Any], where: str) -> Budget:
    fields: dict[str, Any] = {}
    for name, value in terms.items():
        if name not in _FIELDS:
            raise InputError(
                f"{name!r} is nothing a policy limits", where=where, fix=", ".join(sorted(_FIELDS))
            )
        field, read = _FIELDS[name]
        fields[field] = read(value, f"{where}: {name}")
    return Budget(**fields)


def _time_ms(value: Any, where: str) -> float:
    number, unit = _number(value, where)
    if unit not in _TIMES:
        raise InputError(f"{value!r} is no time", where=where, fix="5ms, 500us or 0.1s")
    return number * _TIMES[unit]


def _size(value: Any, where: str) -> int:
    number, unit = _number(value, where)
    if unit not in _SIZES:
        raise InputError(f"{value!r} is no size", where=where, fix="+64MiB")
    return int(number * _SIZES[unit])


def _count(value: Any, where: str) -> int:
    number, unit = _number(value, where)
    if unit or number != int(number):
        raise InputError(f"{value!r} is no count", where=where, fix="a whole number, such as 8")
    return int(number)


def _syscalls(value: Any, where: str) -> tuple[str, ...]:
    names = () if value in (["none"], "none", []) else tuple(value)
    for name in names:
        number_of(name)
    return names


def _number(value: Any, where: str) -> tuple[float, str]:
    found = _NUMBER.fullmatch(str(value).strip())
    if not found:
        raise InputError(f"{value!r} is no number with a unit", where=where, fix=_EXAMPLE)
    return float(found[1]), found[2]


_FIELDS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "service_p": ("latency_ms", _time_ms),
    "latency": ("latency_ms", _time_ms),
    "errors": ("breaches", _count),
    "runq": ("jitter_ms", _time_ms),
    "jitter": ("jitter_ms", _time_ms),
    "rss": ("memory_bytes", _size),
    "hang": ("hang_ms", _time_ms),
    "syscalls": ("syscalls", _syscalls),
    "cuda_errors": ("cuda_errors", _count),
    "cuda_launches": ("cuda_launches", _count),
}
