"""A real notebook kernel: its runs survive its restart, and its interrupt ends the step."""

import json
import os
import signal

import pytest

from workbench.store import Store, owner

DEFINE = """
import os, pathlib, time
from workbench.store import Store
from workbench.pipeline import callables
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep
from workbench.pipeline.executors.executor import Executor

store = Store(pathlib.Path({home}))

def slow():
    import os, time
    open({mark} + ".started", "a").write("x")
    while not os.path.exists({mark} + ".go"):
        time.sleep(0.01)
    return "slow"

recipe = Recipe((CallStep(callables.send(store, slow), name="value"),))
"""


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    manager = pytest.importorskip("jupyter_client.manager", reason="needs a notebook kernel")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    running, client = manager.start_new_kernel(kernel_name="python3", startup_timeout=60)
    yield running, client
    client.stop_channels()
    running.shutdown_kernel(now=True)


@pytest.fixture
def defined(kernel, store, tmp_path):
    source = DEFINE.format(home=json.dumps(str(store.home)), mark=json.dumps(str(tmp_path / "mark")))
    reply = kernel[1].execute_interactive(source, timeout=60, output_hook=lambda _: None)
    assert reply["content"]["status"] == "ok", reply["content"]
    return kernel


def test_a_background_run_survives_a_kernel_restart(defined, store, tmp_path, wait):
    manager, client = defined
    client.execute_interactive("run = Executor(store).submit(recipe, background=True)", timeout=60)
    wait(lambda: (tmp_path / "mark.started").exists(), "the step's start")
    manager.restart_kernel(now=True)
    (tmp_path / "mark.go").touch()
    run = store.runs.list(1)[0].id
    wait(lambda: store.runs.get(run).state == "done", "the end of the run")
    assert (tmp_path / "mark.started").read_text() == "x"


def test_a_foreground_run_is_resumed_after_its_kernel_is_killed(defined, store, executor, tmp_path, wait):
    manager, client = defined
    client.execute("Executor(store).submit(recipe)")
    wait(lambda: (tmp_path / "mark.started").exists(), "the step's start")
    run = store.runs.list(1)[0].id
    os.kill(manager.provisioner.pid, signal.SIGKILL)
    wait(lambda: not owner.alive(store.runs.get(run).driver), "the kernel's end")
    (tmp_path / "mark.go").touch()
    assert executor.resume(run).state == "done"
    assert (tmp_path / "mark.started").read_text() == "x", "the step was redone"
    assert Store(store.home).names.resolve("value")


def test_a_foreground_run_is_resumed_after_a_kernel_restart(defined, store, executor, tmp_path, wait):
    """A restart interrupts the cell before it kills: the step may have been cancelled, and is then done anew."""
    manager, client = defined
    client.execute("Executor(store).submit(recipe)")
    wait(lambda: (tmp_path / "mark.started").exists(), "the step's start")
    manager.restart_kernel(now=True)
    run = store.runs.list(1)[0].id
    assert not owner.alive(store.runs.get(run).driver)
    (tmp_path / "mark.go").touch()
    assert executor.resume(run).state == "done"
    assert Store(store.home).names.resolve("value")


def test_an_interrupted_cell_cancels_its_run(defined, store, tmp_path, wait):
    manager, client = defined
    message = client.execute("Executor(store).submit(recipe)")
    wait(lambda: (tmp_path / "mark.started").exists(), "the step's start")
    manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=30)
    while reply["parent_header"].get("msg_id") != message:
        reply = client.get_shell_msg(timeout=30)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    row = store.runs.get(store.runs.list(1)[0].id)
    assert row.state == "cancelled"
    assert not owner.alive(row.steps[0].owner)
