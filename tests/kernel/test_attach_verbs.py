"""``attach``: a process by number, a run's step by the run, a replica by its deployment."""

import os
import subprocess
import sys
import time

import pytest

import workbench
from workbench.api.running import process_of
from workbench.errors import InputError, UnknownRun
from workbench.store import Store, owner
from workbench.trace.model import Trace

pytestmark = pytest.mark.bpf

_SPIN = "print('ready', flush=True)\ndef planted():\n    return sum(range(1000))\nwhile True:\n    planted()"


@pytest.fixture
def spinner():
    with subprocess.Popen([sys.executable, "-c", _SPIN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_a_process_is_traced_for_a_while_and_the_trace_is_kept(tmp_path, spinner):
    store = Store(tmp_path)
    began = time.monotonic()
    result = workbench.attach(spinner.pid, seconds=0.5, hz=499, store=store)
    assert time.monotonic() - began >= 0.5
    assert result.name == f"pid-{spinner.pid}@profile"
    kept = Trace.load(store.artifacts.path(store.names.resolve(result.name)))
    assert kept.meta.pid == spinner.pid
    assert kept.meta.probes == ("cpu", "sched", "faults", "syscalls", "audit")
    assert "planted" in {frame.name for frame in kept.frames}
    assert spinner.poll() is None


def test_the_step_of_a_run(tmp_path, spinner):
    store = Store(tmp_path)
    run = store.runs.create("{}", ["capture"])
    with pytest.raises(InputError, match=f"no step of run {run} is running"):
        process_of(store, run=run)
    store.runs.start_step(run, 0, owner.of(spinner.pid))
    assert process_of(store, run=run) == spinner.pid
    result = workbench.attach(run=run, seconds=0.3, store=store)
    assert result.name == f"pid-{spinner.pid}@profile"


def test_exactly_one_process_is_named(tmp_path):
    store = Store(tmp_path)
    for wrong in ({}, {"pid": 1, "run": "x"}, {"run": "x", "replica": "y"}):
        with pytest.raises(InputError, match="one process must be named"):
            process_of(store, **wrong)
    with pytest.raises(UnknownRun):
        process_of(store, run="nothing")
    assert process_of(store, pid=os.getpid()) == os.getpid()
    assert owner.pid_of(owner.current()) == os.getpid()
