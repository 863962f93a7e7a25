"""What was typed is noted with the runs it started, and with no other."""

from __future__ import annotations

from pathlib import Path

from workbench.pipeline import asked
from workbench.store import Store


def test_only_runs_inside_carry_the_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = (store.runs.create("{}", ["capture"]) for _ in range(2))
    with asked.asking("%mlops capture net", "c1"):
        asked.note(store, first)
    asked.note(store, second)
    assert asked.line_of(store, first) == asked.Asked("%mlops capture net", "c1")
    store.events.append(second, -1, "run.started", {})
    assert asked.line_of(store, second) is None
    assert asked.line_of(store, "unknown") is None
