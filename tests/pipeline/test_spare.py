"""A step's process started ahead: used once, only if it would start the same way again, never left behind."""

import os
import subprocess
import sys

import pytest

from workbench.pipeline import spare
from workbench.store import owner

pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="on one core no process is started ahead"
)


@pytest.fixture(autouse=True)
def _ended():
    """End the spare process after the test."""
    yield
    with spare._lock:
        spare._discard()


def ahead():
    """Start a spare process and return it."""
    spare.prepare()
    return spare._waiting.process


def test_a_step_runs_in_the_waiting_process(store, executor, calls, cell):
    work = cell("def pid(*former):\n    import os\n    print('in the log')\n    return os.getpid()\n")
    waiting = ahead()
    run = executor.submit(calls(work["pid"], work["pid"]))
    first, second = (owner.pid_of(step.owner) for step in run.row.steps)
    assert first == waiting.pid
    assert second not in (first, os.getpid())
    assert run.logs().count("in the log") == 2


def test_it_is_started_once():
    assert ahead() is ahead()


def test_another_environment_starts_another_process(tmp_path, monkeypatch):
    first = ahead()
    monkeypatch.setenv("MLOPS_SPARE_TEST", "1")
    assert spare.take(tmp_path / "order", tmp_path / "log") is None
    assert first.poll() is not None
    second = ahead()
    monkeypatch.chdir(tmp_path)
    assert ahead() is not second
    assert second.poll() is not None


def test_a_dead_one_is_not_used(tmp_path):
    dead = ahead()
    dead.kill()
    dead.wait()
    assert spare.take(tmp_path / "order", tmp_path / "log") is None
    assert ahead() is not dead


def test_it_ends_with_the_process_that_started_it(wait):
    code = (
        "from workbench.pipeline import spare; import os\n"
        "spare.prepare(); print(spare._waiting.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    wait(lambda: not owner.alive(owner.of(int(shown))), "the end of the spare process")


def test_a_fork_leaves_it_alone():
    waiting = ahead()
    child = os.fork()
    if child == 0:
        os._exit(1 if spare._waiting is not None else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert waiting.poll() is None


def test_what_it_loads_may_be_missing_or_broken(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('half installed')")
    monkeypatch.syspath_prepend(tmp_path)
    spare.load(("no_such_library", "broken_library", "json"))
