"""One thing the doctor looked at, and the table of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..render.table import Table

State = Literal["ok", "info", "missing", "bad"]
_MARKS: Mapping[str, str] = {"ok": "✓", "info": "·", "missing": "○", "bad": "✗"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Parameters
    ----------
    group
        ``packages``, ``backends``, ``machine``, ``tracing`` or ``routing``.
    what, value
        Its name, and what was found in a few words.
    state
        ``ok``; ``info`` where nothing can be wrong; ``missing`` for something optional that is not there;
        ``bad`` for something that will fail.
    fix
        What to type or do, when not ok.
    """

    group: str
    what: str
    value: str
    state: State = "info"
    fix: str = ""


@dataclass(frozen=True)
class Examination:
    """All findings; shows itself as a table, in order."""

    findings: Sequence[Finding]

    @property
    def hints(self) -> list[Finding]:
        """Return the findings that have something to do, the bad ones first."""
        todo = [one for one in self.findings if one.fix]
        return sorted(todo, key=lambda one: one.state != "bad")

    def value(self, what: str) -> str:
        """Return the value of the finding of this name; empty when there is none."""
        return next((one.value for one in self.findings if one.what == what), "")

    def to_json(self) -> dict[str, Any]:
        """Return the findings as JSON-able data."""
        return {"findings": [asdict(one) for one in self.findings]}

    def text(self) -> str:
        """Return the table as text."""
        return self._table().text()

    def html(self) -> str:
        """Return the table as HTML."""
        return self._table().html()

    def _table(self) -> Table:
        rows = [(_MARKS[one.state], one.group, one.what, one.value, one.fix) for one in self.findings]
        bad = sum(one.state == "bad" for one in self.findings)
        note = f"{bad} to mend" if bad else "nothing is broken; ○ is optional and absent"
        return Table(("", "group", "what", "found", "to do"), rows, "this machine", note)

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.text(), "text/html": self.html()}
