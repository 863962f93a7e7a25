"""Cancelling, interrupting, killing and resuming: no process is left behind, nothing done is redone."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from workbench.errors import RunCancelled, RunError, UnknownRun
from workbench.pipeline import data
from workbench.pipeline.run import Run
from workbench.store import owner

SLEEP = """
def fine(*former):
    open(path + ".fine", "a").write("x")
    return "fine"

def sleep(former):
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open(path + ".pids", "a").write(f"{child.pid}\\n")
    time.sleep(60)

def stubborn(former):
    import signal, time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(path + ".pids", "a").write("0\\n")
    time.sleep(60)

def slow(former):
    import os, time
    open(path + ".slow", "a").write("x")
    while not os.path.exists(path + ".go"):
        time.sleep(0.01)
    return "slow"
"""


@pytest.fixture
def work(cell, tmp_path):
    return cell(SLEEP, path=str(tmp_path / "mark"))


@pytest.fixture
def running(store, wait, tmp_path):
    """Wait until the second step of the newest run sleeps; return the run's row."""

    def until(mark="pids"):
        path = tmp_path / f"mark.{mark}"
        wait(lambda: path.exists() and path.stat().st_size, "the second step's start")  # opened, and written
        return store.runs.get(store.runs.list(1)[0].id)

    return until


def gone(row, tmp_path):
    """Whether the second step and the child it started are gone."""
    children = [int(line) for line in (tmp_path / "mark.pids").read_text().split()]
    return not owner.alive(row.steps[1].owner) and not any(
        child and owner.alive(owner.of(child)) for child in children
    )


@pytest.mark.parametrize("function", ["sleep", "stubborn"])
def test_an_interrupt_ends_the_step_and_its_children(
    store, driving, calls, work, running, wait, tmp_path, function
):
    driver = driving(calls(work["fine"], work[function]))
    row = running()
    driver.send_signal(signal.SIGINT)
    assert driver.communicate(timeout=30)[0] == "interrupted\n"
    wait(lambda: gone(row, tmp_path), "the end of the step's group")
    after = store.runs.get(row.id)
    assert after.state == "cancelled"
    assert [step.state for step in after.steps] == ["done", "cancelled"]


def test_cancel_from_elsewhere(store, executor, calls, work, running, wait, tmp_path):
    raised = []

    def drive():
        try:
            executor.submit(calls(work["fine"], work["sleep"]))
        except RunCancelled as error:
            raised.append(error)

    thread = threading.Thread(target=drive)
    thread.start()
    row = running()
    executor.cancel(row.id)
    thread.join(30)
    assert raised[0].fix == f"%mlops resume {row.id}"
    assert store.runs.get(row.id).state == "cancelled"
    wait(lambda: gone(row, tmp_path), "the end of the step's group")
    assert [e.kind for e in store.events.since(0, row.id)][-2:] == ["step.cancelled", "run.cancelled"]


def test_cancel_of_a_run_whose_driver_was_killed(
    store, executor, driving, calls, work, running, wait, tmp_path
):
    driver = driving(calls(work["fine"], work["sleep"]))
    row = running()
    driver.kill()
    driver.wait()
    executor.cancel(row.id)
    assert store.runs.get(row.id).state == "cancelled"
    wait(lambda: gone(row, tmp_path), "the end of the step's group")


def test_a_run_that_ended_cannot_be_cancelled(executor, calls, work):
    run = executor.submit(calls(work["fine"]))
    with pytest.raises(RunError, match="is done already"):
        executor.cancel(run.id)
    with pytest.raises(UnknownRun):
        executor.cancel("r0")


def test_resume_after_kill_9_of_driver_and_step(store, executor, driving, calls, work, running, tmp_path):
    driver = driving(calls(work["fine"], work["slow"]))
    row = running("slow")
    driver.kill()
    driver.wait()
    os.kill(owner.pid_of(row.steps[1].owner), signal.SIGKILL)
    while owner.alive(row.steps[1].owner):
        pass
    assert store.runs.get(row.id).state == "interrupted"
    with pytest.raises(RunError, match="are gone") as caught:
        Run(store, row.id).wait()
    assert caught.value.fix == f"%mlops resume {row.id}"
    (tmp_path / "mark.go").touch()
    run = executor.resume(row.id)
    assert run.state == "done"
    assert (tmp_path / "mark.fine").read_text() == "x", "the finished step was redone"
    assert (tmp_path / "mark.slow").read_text() == "xx"


def test_a_step_outlives_its_driver_and_resume_waits_for_it(
    store, executor, driving, calls, work, running, tmp_path
):
    driver = driving(calls(work["fine"], work["slow"]))
    row = running("slow")
    driver.kill()
    driver.wait()
    assert store.runs.get(row.id).state == "running", "its step is alive"
    threading.Timer(0.3, (tmp_path / "mark.go").touch).start()
    run = executor.resume(row.id)
    assert run.state == "done"
    assert (tmp_path / "mark.slow").read_text() == "x", "the step was started twice"


def test_a_step_that_outlived_its_driver_records_its_result(
    store, driving, calls, work, running, wait, tmp_path
):
    driver = driving(calls(work["fine"], work["slow"]))
    row = running("slow")
    driver.kill()
    driver.wait()
    (tmp_path / "mark.go").touch()
    wait(lambda: store.runs.get(row.id).steps[1].state == "done", "the step's record")
    assert store.names.resolve("value-1")
    assert store.runs.get(row.id).state == "interrupted", "nobody has closed the run"


def test_a_running_run_is_not_resumed(executor, driving, calls, work, running, tmp_path):
    driver = driving(calls(work["fine"], work["slow"]))
    row = running("slow")
    with pytest.raises(RunError, match=f"is running \\(pid {driver.pid}\\)"):
        executor.resume(row.id)
    (tmp_path / "mark.go").touch()
    driver.communicate(timeout=30)


def test_resume_after_cancel(store, executor, driving, calls, work, running, tmp_path):
    driver = driving(calls(work["fine"], work["slow"]))
    row = running("slow")
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=30)
    (tmp_path / "mark.go").touch()
    assert executor.resume(row.id).state == "done"
    assert (tmp_path / "mark.fine").read_text() == "x"


def test_resume_leaves_a_run_that_is_done_as_it_is(store, executor, calls, work, tmp_path):
    run = executor.submit(calls(work["fine"]))
    before = store.runs.get(run.id)
    assert executor.resume(run.id).state == "done"
    assert store.runs.get(run.id) == before
    assert (tmp_path / "mark.fine").read_text() == "x"


def test_a_background_run_goes_on_by_itself(store, executor, calls, work, tmp_path):
    seen = []
    run = executor.submit(calls(work["fine"], work["slow"]), background=True, on_event=seen.append)
    assert run.state in ("pending", "running")
    assert owner.pid_of(run.row.driver) != os.getpid()
    (tmp_path / "mark.go").touch()
    assert run.wait(timeout_s=60).state == "done"
    result = run.result()
    assert data.read(result.path()) == "slow"
    assert repr(run).splitlines()[1].startswith(run.id)


def test_a_background_run_can_be_cancelled_and_resumed(executor, calls, work, running, tmp_path):
    run = executor.submit(calls(work["fine"], work["slow"]), background=True)
    running("slow")
    run.cancel()
    assert run.state == "cancelled"
    with pytest.raises(RunCancelled):
        run.wait(timeout_s=60)
    (tmp_path / "mark.go").touch()
    assert executor.resume(run.id, background=True).wait(timeout_s=60).state == "done"


def test_waiting_has_an_end(executor, calls, work, running, tmp_path):
    run = executor.submit(calls(work["fine"], work["slow"]), background=True)
    with pytest.raises(RunError, match=r"has not ended in 0\.1 s"):
        run.wait(timeout_s=0.1)
    (tmp_path / "mark.go").touch()
    run.wait(timeout_s=60)


def test_waiting_for_a_failed_run_raises_its_error(executor, calls, cell):
    from workbench.errors import StepFailed

    run = executor.submit(calls(cell("def f():\n    return 1 / 0")["f"]), background=True)
    with pytest.raises(StepFailed, match="division by zero"):
        run.wait(timeout_s=60)


def test_waiting_for_a_run_that_failed_before_any_step_raises_its_error(store, executor, cell):
    from workbench.errors import UnknownArtifact
    from workbench.pipeline import callables
    from workbench.pipeline.recipe import Recipe
    from workbench.pipeline.steps.call import CallStep

    step = CallStep(callables.send(store, cell("def f(x):\n    return x")["f"]), "nothing")
    run = executor.submit(Recipe((step,)), background=True)
    with pytest.raises(UnknownArtifact, match="no artifact is named 'nothing'"):
        run.wait(timeout_s=60)


def test_an_interrupt_while_waiting_for_an_adopted_step_ends_it(
    store, driving, calls, work, running, wait, tmp_path
):
    first = driving(calls(work["fine"], work["sleep"]))
    row = running()
    first.kill()
    first.wait()
    second = subprocess.Popen(
        [sys.executable, "-c", RESUME, str(store.home), row.id], stdout=subprocess.PIPE, text=True
    )
    wait(lambda: store.runs.get(row.id).driver.startswith(f"{second.pid}:"), "the take-over")
    second.send_signal(signal.SIGINT)
    assert second.communicate(timeout=30)[0] == "interrupted\n"
    wait(lambda: gone(row, tmp_path), "the end of the step's group")
    assert store.runs.get(row.id).steps[1].state == "cancelled"


RESUME = """
import sys, pathlib
from workbench.store import Store
from workbench.pipeline.executors.executor import Executor
try:
    Executor(Store(pathlib.Path(sys.argv[1]))).resume(sys.argv[2])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
