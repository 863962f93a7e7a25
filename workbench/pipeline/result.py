"""What a step leaves (:class:`StepResult`, JSON-able) and what a verb hands the user (:class:`Result`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import codec
from ..codec import register
from ..errors import InputError, RunError
from ..render.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from ..session import Session
    from ..store import StepRow, Store


@register("measured")
@dataclass(frozen=True)
class Measured:
    """A figure that varies from run to run; `baseline` says what a ratio compares with."""

    key: str
    value: float
    unit: str
    baseline: str = ""


@register("step_result")
@dataclass(frozen=True)
class StepResult:
    """What a step leaves.

    Parameters
    ----------
    output
        Digest of the artifact it made.
    metrics
        Deterministic figures, also in the manifest.
    measured
        Figures that vary from run to run.
    tables
        JSON forms of the tables to show, made by :func:`table_json`.
    details
        More JSON-able facts.
    """

    output: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    measured: tuple[Measured, ...] = ()
    tables: tuple[Mapping[str, Any], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def result_of(row: StepRow) -> StepResult:
    """Return what a verb that is done left.

    Raises
    ------
    RunError
        If the step is no verb.
    """
    from .workers.order import Outcome

    result = codec.from_json(Outcome.of(row.result or {}).result)
    if not isinstance(result, StepResult):
        raise RunError(f"step {row.position} recorded no result", where=row.verb)
    return result


def table_json(table: Table) -> dict[str, Any]:
    """Return a table as JSON-able data."""
    rows = [list(row) for row in table.rows]
    return {"columns": list(table.columns), "rows": rows, "title": table.title, "note": table.note}


def table_of(data: Mapping[str, Any]) -> Table:
    """Return the table that :func:`table_json` wrote."""
    return Table(tuple(data["columns"]), data["rows"], data["title"], data["note"])


@dataclass(frozen=True)
class Result:
    """What a verb answers: tables to look at, a digest and figures to compute with.

    Every metric and detail is also an attribute: ``result.accuracy``, ``status.url``.

    Parameters
    ----------
    title
        One line above everything.
    tables
        What is shown.
    digest, name
        The artifact and its name, empty when the answer is no artifact.
    metrics, details
        Figures and JSON-able facts.
    pictures
        Parts with ``text()`` and ``html()`` shown after the tables.
    store
        Where the artifact lies.

    Examples
    --------
    >>> result = Result("minilm:int8", metrics={"accuracy": 0.97})
    >>> result.accuracy
    0.97
    >>> result
    minilm:int8
    """

    title: str
    tables: tuple[Table, ...] = ()
    digest: str = ""
    name: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    pictures: Sequence[Any] = ()
    store: Store | None = field(default=None, compare=False)

    def path(self) -> Path:
        """Return the folder of the artifact."""
        return self._store().artifacts.path(self.digest)

    def module(self) -> Any:
        """Return a program or variant as a torch module, with the calling convention of the captured one.

        Call it, put it into another, export it again.

        Raises
        ------
        InputError
            If the artifact is neither, or came as an ONNX file.
        """
        from ..program import PROGRAM_FILE, as_module

        folder = self.path()
        if not (folder / PROGRAM_FILE).is_file():
            raise InputError(
                f"{self.title} holds no torch program",
                where=self.digest,
                fix="the result of capture or quantize of a torch module",
            )
        return as_module(folder)

    def session(self, threads: int = 1) -> Session:
        """Return the compiled artifact ready to run.

        Raises
        ------
        InputError
            If the result is no compiled artifact.
        """
        from ..compile import load

        kind = self._store().artifacts.manifest(self.digest).kind
        if kind != "compiled":
            raise InputError(
                f"{self.title} is a {kind}, only a compiled artifact runs",
                where=self.digest,
                fix=f"%mlops compile {self.name or self.digest} --backend onnxruntime",
            )
        return load(self.path(), threads=threads)

    load = session

    def value(self) -> Any:
        """Return what a pipeline's single output or a data artifact holds.

        Raises
        ------
        InputError
            If there is no single output.
        """
        from .workers import files

        outputs = self.details.get("outputs", {"": self.digest})
        if len(outputs) != 1:
            raise InputError(
                f"{self.title} has {len(outputs)} outputs", where="result", fix="look into result.outputs"
            )
        (value,) = outputs.values()
        if "outputs" in self.details and not self.details["artifacts"]:
            return value
        found = [files.read(self._store(), one) for one in ([value] if isinstance(value, str) else value)]
        return found[0] if isinstance(value, str) else found

    def to_pandas(self, table: int = 0) -> pd.DataFrame:
        """Return one of the tables, unrounded, to compute with.

        Parameters
        ----------
        table
            Which one, from 0, in the order they are shown.

        Raises
        ------
        InputError
            If it has no such table.
        MissingDependency
            If pandas is not installed.

        Examples
        --------
        >>> shown = Result("sizes", (Table(("name", "MB"), (("fp32", 90.8), ("int8", 23.0))),))
        >>> list(shown.to_pandas()["name"])
        ['fp32', 'int8']
        """
        if not -len(self.tables) <= table < len(self.tables):
            raise InputError(
                f"{self.title} has {len(self.tables)} table(s)", where=f"table {table}", fix="the first is 0"
            )
        return self.tables[table].to_pandas()

    def text(self) -> str:
        """Return everything as plain text."""
        parts = [part.text() for part in (*self.tables, *self.pictures)]
        return "\n\n".join([self.title + (f"  {self.digest[:19]}" if self.digest else ""), *parts])

    def html(self) -> str:
        """Return everything as HTML without scripts."""
        from html import escape

        digest = f" <code>{self.digest[:19]}</code>" if self.digest else ""
        parts = "".join(part.html() for part in (*self.tables, *self.pictures))
        return f"<div><b>{escape(self.title)}</b>{digest}{parts}</div>"

    def to_json(self) -> dict[str, Any]:
        """Return what a program may want of it; details that are no JSON show as text."""
        details = json.loads(json.dumps(dict(self.details), default=str))
        tables = [table_json(table) for table in self.tables]
        return {
            "title": self.title,
            "name": self.name,
            "digest": self.digest,
            "metrics": dict(self.metrics),
            "details": details,
            "tables": tables,
        }

    def __getattr__(self, name: str) -> Any:
        for source in ("metrics", "details"):
            values = self.__dict__.get(source, {})
            if name in values:
                return values[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.text(), "text/html": self.html()}

    def _store(self) -> Store:
        if self.store is None or not self.digest:
            raise InputError(f"{self.title} has no artifact", where="result")
        return self.store
