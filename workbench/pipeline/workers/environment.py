"""Whether a worker elsewhere has the environment of who asks: the same packages, the same workbench."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import InputError
from ...package.environment import lock
from ..environment import code_digest

_MOST = 6


def expected() -> dict[str, Any]:
    """Return what a worker must have, as JSON-able data.

    The code is what this process began with, whatever becomes of the files meanwhile.
    """
    current = lock()
    return {"packages": list(current.packages), "python": current.python, "code": _code()}


@functools.cache
def _code() -> str:
    return code_digest(("pipeline",))


def check(wanted: Mapping[str, Any], where: str) -> None:
    """Refuse to work in another environment: its results would have other digests, or be wrong.

    Raises
    ------
    InputError
        If packages, Python or the workbench differ; names what.
    """
    found = expected()
    said = _packages(wanted["packages"], found["packages"])
    if found["python"] != wanted["python"]:
        said.insert(0, f"{found['python']} instead of {wanted['python']}")
    if found["code"] != wanted["code"]:
        said.append("another version of the workbench")
    if said:
        more = f" and {len(said) - _MOST} more" if len(said) > _MOST else ""
        raise InputError(
            f"the node {where} has another environment: {', '.join(said[:_MOST])}{more}",
            where=where,
            fix="install the same environment on every node",
        )


def _packages(wanted: Sequence[str], found: Sequence[str]) -> list[str]:
    if list(wanted) == list(found):
        return []
    ours, theirs = (dict(line.split("==", 1) for line in lines) for lines in (wanted, found))
    return [
        f"{name} {theirs.get(name, 'absent')} instead of {ours.get(name, 'absent')}"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]
