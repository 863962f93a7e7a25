"""Which backends there are, what each can do on this machine, and how to get those that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.result import Result
from ..render.table import Cell, Table

if TYPE_CHECKING:
    from ..compile import Backend


def backends() -> Result:
    """List the backends, their options, and the targets each compiles for.

    Returns
    -------
    Result
        Tables; ``.backends`` has for each: ``available``, ``missing`` (what), ``fix`` (the command),
        ``options`` (as ``name=default``), ``targets`` (name to what is missing, empty where it can compile).

    Examples
    --------
    >>> sorted(backends().backends["eager"])
    ['about', 'available', 'fix', 'missing', 'options', 'targets']
    """
    from ..compile.base import backend, backend_names
    from ..compile.options import describe_options

    found: dict[str, dict[str, object]] = {}
    rows: list[tuple[Cell, ...]] = []
    machines: list[tuple[Cell, ...]] = []
    for name in backend_names():
        one = backend(name)
        missing, options = one.available(), describe_options(one.options)
        targets = _targets(one) if missing is None else dict.fromkeys(one.targets, "")
        here = "yes" if missing is None else missing.what
        rows.append((name, one.about, here, "" if missing is None else missing.fix, ", ".join(options)))
        machines += [
            (target, name, why or ("yes" if missing is None else here)) for target, why in targets.items()
        ]
        found[name] = {
            "about": one.about,
            "available": missing is None,
            "missing": "" if missing is None else missing.what,
            "fix": "" if missing is None else missing.fix,
            "options": options,
            "targets": targets,
        }
    tables = (
        Table(("backend", "what it is", "here", "to install", "--option"), rows),
        Table(("--target", "--backend", "here"), machines, note="no --target compiles for this machine"),
    )
    return Result(f"{len(rows)} backends", tables, details={"backends": found})


def _targets(one: Backend) -> dict[str, str]:
    """Return a backend's targets, each with what is missing for it."""
    refusals = {target: one.refuses(target) for target in one.targets}
    return {
        target: "" if why is None else f"{why.what}: {why.fix}" if why.fix else why.what
        for target, why in refusals.items()
    }
