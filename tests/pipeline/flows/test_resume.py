"""A driver that dies, two drivers on one run, a full disk, a clock that runs ahead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import workbench as wb
from workbench import api
from workbench.errors import RunError
from workbench.store import Store, owner


@wb.step(cache=False)
def gated(i: int, folder: str) -> int:
    import time

    with (Path(folder) / f"started{i}").open("a") as file:
        file.write("x")
    until = time.monotonic() + 120
    while i and not (Path(folder) / "go").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return i


@wb.pipeline
def gates(folder: str):
    first = gated(0, folder)
    with wb.when(first < 1), wb.each([1, 2]) as i:
        gated(i, folder)


_DRIVE = """
import sys
import workbench as wb
from pathlib import Path
from workbench.store import Store
from tests.pipeline.flows.test_resume import gates
wb.run(gates, {"folder": sys.argv[2]}, store=Store(Path(sys.argv[1])))
"""


def _until(holds, seconds=90.0):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def test_a_run_goes_on_after_its_driver_is_killed_and_nothing_runs_twice(store, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    driver = subprocess.Popen([sys.executable, "-c", _DRIVE, str(store.home), str(marks)])
    try:
        _until(lambda: (marks / "started1").exists() or (marks / "started2").exists())
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait(30)
    run = store.runs.list(1)[0].id
    (marks / "go").touch()
    result = api.resume(run, store=store)
    assert result.run == run
    assert store.runs.get(run).state == "done"
    assert {path.name: path.read_text() for path in marks.glob("started*")} == {
        f"started{i}": "x" for i in range(3)
    }


def test_two_drivers_on_one_run_are_one_too_many(store, tmp_path):
    run = wb.run(gates, {"folder": str(tmp_path)}, store=store, background=True)
    _until(lambda: (tmp_path / "started1").exists())
    with pytest.raises(RunError, match="is running"):
        api.resume(run.id, store=store)
    assert not store.runs.drive(run.id, owner.current(), instead_of="1:2:gone")
    (tmp_path / "go").touch()
    run.wait(90)
    assert (tmp_path / "started1").read_text() == "x"


def test_two_drivers_on_one_recipe_make_the_same(store, tmp_path):
    (tmp_path / "go").touch()
    runs = [wb.run(gates, {"folder": str(tmp_path)}, store=store, background=True) for _ in range(2)]
    for run in runs:
        run.wait(90)
    first, second = ({step.verb: step.result for step in run.row.steps} for run in runs)
    assert first == second


def test_a_clock_that_runs_ahead_changes_no_digest_and_no_order(store, tmp_path, monkeypatch):
    (tmp_path / "go").touch()
    ours = wb.run(gates, {"folder": str(tmp_path)}, store=store)
    other = Store(tmp_path / "other")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 86_400 * 365)
    theirs = wb.run(gates, {"folder": str(tmp_path)}, store=other)
    monkeypatch.undo()
    again = wb.run(gates, {"folder": str(tmp_path)}, store=other)
    for result, home in ((ours, store), (theirs, other), (again, other)):
        rows = home.runs.get(result.run).steps
        assert {row.verb: row.state for row in rows} == {
            "gated": "done",
            "condition/for-each[0]/gated-2": "done",
            "condition/for-each[1]/gated-2": "done",
        }
    other.close()
