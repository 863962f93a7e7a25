"""The driver's end of a host program: what is told to one that is not ready yet is kept, and it can be ended."""

import time

import pytest

from workbench.errors import RunError
from workbench.pipeline.workers import host as module
from workbench.pipeline.workers.host import Host
from workbench.pipeline.workers.order import Order, Outcome

PROGRAM = """
import json, pathlib, sys, time
for name in sys.argv[1:]:
    while not pathlib.Path(name).exists():
        time.sleep(0.01)
print(json.dumps({"ready": 2}), flush=True)
for line in sys.stdin:
    told = json.loads(line)
    outcome = {"parameters": {"Output": told["order"]["path"]}}
    print(json.dumps({"ended": told["ticket"], "outcome": outcome}), flush=True)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Start a program that is ready when there is a file: the host, and the file."""
    (tmp_path / "late_host.py").write_text(PROGRAM)
    mark = tmp_path / "mark"
    host = Host("late_host", str(mark), name="the late one", environment={"PYTHONPATH": str(tmp_path)})
    yield host, mark
    mark.touch()
    host.close()


def order(path):
    return Order("r1", 0, path, "key", (), {})


def heard(host):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if ended := host.wait(0.1):
            return ended
    raise AssertionError("nothing was heard")


def test_what_is_told_before_it_is_ready_is_kept(program):
    host, mark = program
    host.send(1, order("first"))
    host.send(2, order("second"))
    assert host.wait(0.05) == []
    host.cancel(2)
    (dropped,) = host.wait(30)
    assert (dropped.ticket, dropped.outcome.error["what"]) == (2, "it was cancelled")
    mark.touch()
    (ended,) = heard(host)
    assert (ended.ticket, ended.outcome) == (1, Outcome(parameters={"Output": "first"}))


def test_one_that_never_comes_up_is_ended_with_the_run(program):
    host, _ = program
    host.send(1, order("first"))
    host.cancel(1)
    assert [one.ticket for one in host.wait(30)] == [1]
    host.close()
    assert host._process.poll() is not None


def test_one_that_takes_too_long_is_named(program, monkeypatch):
    monkeypatch.setattr(module, "READY_S", 0.0)
    host, _ = program
    host.send(1, order("first"))
    with pytest.raises(RunError, match="the late one was not ready within 0 s"):
        heard(host)
