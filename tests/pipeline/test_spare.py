"""A step's process started ahead: used once, only if it would start the same way again, never left behind."""

import os
import subprocess
import sys

import pytest

from workbench.pipeline import data, spare, waiting
from workbench.pipeline.callables import send
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep
from workbench.store import owner

pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="on one core no process is started ahead"
)


@pytest.fixture(autouse=True)
def _ended():
    """End the spare process after the test."""
    yield
    spare.leave()


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
    waiting.load(("no_such_library", "broken_library", "json"))


SESSION = """
import os, sys, time
from pathlib import Path
from workbench.pipeline import spare
from workbench.pipeline.callables import send
from workbench.pipeline.executors.executor import Executor
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep
from workbench.store import Store, owner

store = Store(Path(sys.argv[1]))

def verb(number):
    run = Executor(store).submit(Recipe((CallStep(send(store, lambda: [number])),)))
    return owner.pid_of(run.row.steps[0].owner)

def ahead():
    until = time.monotonic() + 60
    while spare._waiting is None and time.monotonic() < until:
        time.sleep(0.01)
    return spare._waiting.process.pid
"""


def session(tmp_path, code):
    """Run a program that goes on from SESSION, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", SESSION + code, str(tmp_path / "home")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert not done.returncode, done.stderr
    return done.stdout.split()


def test_a_session_has_one_ready_for_each_verb(tmp_path):
    said = session(
        tmp_path,
        "spare.stay(); first = ahead(); print(first == verb(1)); second = ahead()\n"
        "print(second == verb(2), second != first, spare._waiting is None or spare._waiting.end is None)",
    )
    assert said == ["True"] * 4


def test_a_program_is_a_session_from_its_second_verb_on(tmp_path):
    said = session(tmp_path, "verb(1); print(spare._session); verb(2); print(ahead() == verb(3))")
    assert said == ["False", "True"]


def test_loading_the_extension_makes_a_session_and_unloading_ends_it(tmp_path):
    said = session(
        tmp_path,
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance(); shell.run_line_magic('load_ext', 'workbench')\n"
        "one = owner.of(ahead()); print(owner.alive(one))\n"
        "shell.run_line_magic('unload_ext', 'workbench'); print(owner.alive(one), spare._session)",
    )
    assert said == ["True", "False", "False"]


def test_there_is_none_where_memory_is_short_or_nobody_wants_it(monkeypatch):
    monkeypatch.setattr(spare, "free_bytes", lambda: spare._LEAVES_BYTES)
    spare.prepare()
    assert spare._waiting is None
    monkeypatch.undo()
    monkeypatch.setenv("MLOPS_AHEAD", "0")
    spare.prepare()
    assert spare._waiting is None


def test_it_ends_with_its_starter_though_a_fork_holds_the_pipe(wait):
    code = (
        "from workbench.pipeline import spare; import os, time\n"
        "spare.prepare(spare.OF_ALL); print(spare._waiting.process.pid, flush=True)\n"
        "fork = os.fork()\n"
        "if not fork: os.close(1); os.close(2); time.sleep(120)\n"
        "print(fork, flush=True); os.kill(os.getpid(), 9)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    waiting_pid, fork = map(int, shown.split())
    try:
        wait(lambda: not owner.alive(owner.of(waiting_pid)), "the end of the spare process")
        assert owner.alive(owner.of(fork))
    finally:
        os.kill(fork, 9)


def test_code_that_changed_while_it_waited_is_loaded_anew(store, executor, cell, tmp_path):
    """A process that loaded a file which has changed since begins again, under the same number, without it."""
    loaded = tmp_path / "loaded_by_it.py"
    loaded.write_text("")
    code = (
        "import os, sys; from workbench.pipeline import waiting\n"
        f"waiting._PACKAGE = {str(tmp_path)!r}; sys.path.append(waiting._PACKAGE)\n"
        "before = waiting._state\n"
        "def state():\n"
        "    found = before(); print('seen', flush=True); return found\n"
        "waiting._state = state\n"
        "waiting.main(os.getppid(), ('loaded_by_it',))"
    )
    work = cell(
        "def loaded():\n    import os, sys\n    return ['loaded_by_it' in sys.modules, os.getpid()]\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "seen\n"
        os.utime(loaded, ns=(1, 1))

        def take(order, log):
            process.stdin.write(f'{{"order": "{order}", "log": "{log}"}}\n')
            process.stdin.close()
            return process

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spare, "take", take)
            run = executor.submit(Recipe((CallStep(send(store, work["loaded"])),)))
    found = store.artifacts.path(run.results()[0].output)
    assert data.read(found) == [False, process.pid]
