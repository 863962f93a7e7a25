"""Sweeps on a small network: killed and resumed, the hopeless stopped, what passes named and drawn."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from workbench import api
from workbench.errors import InputError, RunError, UnknownBackend, UnknownRun
from workbench.pipeline.callables import send
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep
from workbench.pipeline.sweep.sweep import Sweep
from workbench.store import Store
from workbench.widgets.views import mimebundle

pytest.importorskip("onnxruntime", reason="sweeps compile for onnxruntime")

EVALUATE = """
import torch

def agreement(session, fraction=1.0):
    batch = torch.randn(64, 8, generator=torch.Generator().manual_seed(5))[: max(1, int(64 * fraction))]
    want = batch @ torch.tensor([[3, -0.1, 0.5, 0.02, -2, 1, 0.3, 0.7]]).T
    return -float((session(batch) - want).abs().mean())
"""

SWEEP = """
import pathlib, sys
from workbench import api
from workbench.store import Store
namespace = {"__name__": "__main__"}
exec(pathlib.Path(sys.argv[2]).read_text(), namespace)
print(api.sweep("small", schemes=("int8", "ternary"), backends=("onnxruntime",), rungs=(0.25, 1),
    evaluate=namespace["agreement"], max_drop=0.2, store=Store(pathlib.Path(sys.argv[1])),
    say=lambda line: print(line, flush=True)).state, flush=True)
"""


class Small(nn.Module):
    """Weighs its inputs by weights that three levels cannot hold: float32 [batch, 8] to [batch, 1]."""

    def __init__(self):
        super().__init__()
        # the ends of a ternary network are int8, so the weights that matter lie between them
        self.first, self.middle, self.last = (nn.Linear(8, width, bias=False) for width in (8, 8, 1))
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(8))
            self.middle.weight.zero_()
            self.middle.weight[0] = torch.tensor([3, -0.1, 0.5, 0.02, -2, 1, 0.3, 0.7])
            self.last.weight.copy_(torch.eye(8)[:1])

    def forward(self, x):
        return self.last(self.middle(self.first(x)))


@pytest.fixture
def program(store):
    return api.capture(Small().eval(), torch.randn(4, 8), name="small", store=store)


@pytest.fixture
def agreement(cell):
    return cell(EVALUATE)["agreement"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_sweep_goes_on_and_repeats_nothing(store, program, agreement, tmp_path, wait):
    source = tmp_path / "evaluate.py"
    source.write_text(EVALUATE)
    driver = subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(store.home), str(source)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait(lambda: store.sweeps.list(), "the sweep", 300)
        (row,) = store.sweeps.list()
        assert row.state == "running"
        with pytest.raises(RunError, match="driven by another process"):
            api.sweep(resume=row.id, store=store)
        done = lambda: [t for t in store.sweeps.trials(row.id) if "compiled" in t.facts]  # noqa: E731
        wait(done, "the first build", 300)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert store.sweeps.get(row.id).state == "interrupted"

    result = api.sweep(resume=row.id, store=store)
    assert result.state == "done"
    assert result.trials["int8/onnxruntime"]["state"] == "done"
    assert result.trials["ternary/onnxruntime"]["state"] == "stopped"
    assert "drops by" in result.trials["ternary/onnxruntime"]["why"]
    assert result.best == ["small:int8/onnxruntime"]
    assert store.names.resolve("small:int8/onnxruntime") == result.trials["int8/onnxruntime"]["compiled"]
    titles = [run.title for run in store.runs.list() if run.title.startswith("sweep")]
    assert len(titles) == len(set(titles)), "no unit of a trial was started twice"
    assert "small:int8/onnxruntime" in mimebundle(result)["text/html"]
    assert row.id in api.sweeps(store=store).text()
    again = api.sweep(resume=row.id, store=store)
    assert again.best == result.best
    assert len(store.runs.list()) == len(titles) + 1, "nothing is left to run"


LOSING = """
import os, pathlib, psutil, signal

def losing():
    marks = pathlib.Path(MARKS)
    (marks / str(os.getpid())).touch()
    if len(list(marks.iterdir())) <= TIMES:
        psutil.Process().parent().kill()
        os.kill(os.getpid(), signal.SIGKILL)
    return [1.0]
"""


ORPHANED = """
from pathlib import Path
from workbench.errors import StepLost

def orphaned():
    mark = Path(MARK)
    if not mark.exists():
        mark.touch()
        raise StepLost("Ray could not finish the step: LocalRayletDiedError")
    return [1.0]
"""


@dataclass(frozen=True)
class OneUnit:
    """A plan of one trial, whose one unit calls a function."""

    work: Callable[..., object]
    store: Store
    executor: str = "local"
    rungs: tuple[float, ...] = ()

    def build(self, key):
        return Recipe((CallStep(send(self.store, self.work)),))


class Units(Sweep):
    """A sweep that is over when its units are."""

    def _built(self, key, results):
        self._end(key, "done", "")


@pytest.fixture
def losing(store, cell, tmp_path):
    """Make a sweep whose unit kills the process that drives it and its own, as often as is said."""

    def sweep(times):
        said, marks = [], tmp_path / "marks"
        marks.mkdir()
        plan = OneUnit(cell(LOSING, MARKS=str(marks), TIMES=times)["losing"], store)
        id = store.sweeps.create("units", {}, ["one"])
        return Units(store, id, plan, budget_s=None, at_once=1, say=said.append), said

    return sweep


def test_a_unit_that_loses_its_driver_goes_on(store, losing):
    sweep, said = losing(times=1)
    outcome = sweep.drive()
    assert outcome.passed == ("one",), said
    assert [line for line in said if line.endswith("are gone; it goes on")]
    assert len(store.runs.list()) == 1


def test_a_unit_whose_step_was_lost_with_what_ran_it_goes_on(store, cell, tmp_path):
    said = []
    plan = OneUnit(cell(ORPHANED, MARK=str(tmp_path / "mark"))["orphaned"], store)
    id = store.sweeps.create("units", {}, ["one"])
    outcome = Units(store, id, plan, budget_s=None, at_once=1, say=said.append).drive()
    assert outcome.passed == ("one",), said
    assert [line for line in said if line.endswith("LocalRayletDiedError; it goes on")]


def test_a_sweep_that_loses_its_drivers_again_and_again_can_be_resumed(store, losing):
    sweep, _ = losing(times=3)
    with pytest.raises(RunError, match=r"lost the executor: the processes of run \w+ are gone") as caught:
        sweep.drive()
    assert f"--resume {sweep.id}" in caught.value.fix
    assert store.sweeps.get(sweep.id).state == "failed"
    assert [trial.state for trial in store.sweeps.trials(sweep.id)] == ["running"]
    assert sweep.drive().passed == ("one",)


def test_no_time_is_no_loss(store, program, agreement):
    result = api.sweep("small", schemes=["int8"], evaluate=agreement, budget=0, store=store)
    assert result.state == "stopped"
    assert f"--resume {result.id}" in result.text()
    assert {t["state"] for t in result.trials.values()} == {"pending"}
    assert store.sweeps.get(result.id).state == "stopped"


def test_an_interrupted_sweep_says_how_to_go_on(store, program, agreement, wait):
    said = []

    def interrupt(line):
        said.append(line)
        if len(said) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        api.sweep("small", schemes=["int8"], evaluate=agreement, say=interrupt, store=store)
    (row,) = store.sweeps.list()
    assert row.state == "cancelled"
    (run,) = (run for run in store.runs.list() if run.title.startswith("sweep"))
    wait(lambda: store.runs.get(run.id).state == "cancelled", "the end of what had begun", 120)
    assert f"sweep --resume {row.id}" in caught.value.__notes__[0]


def test_what_cannot_be_tried_is_said(store, program, agreement):
    def options(**changed):
        return {"schemes": ["int8"], "evaluate": agreement, "store": store, **changed}

    with pytest.raises(InputError, match="evaluation function"):
        api.sweep("small", **options(evaluate=None))
    with pytest.raises(InputError, match="needs a program"):
        api.sweep(**options())
    with pytest.raises(UnknownBackend):
        api.sweep("small", **options(backends=["nope"]))
    with pytest.raises(InputError):
        api.sweep("small", **options(schemes=[]))
    with pytest.raises(InputError, match="rising shares"):
        api.sweep("small", **options(rungs=(0.5, 0.2, 1)))
    with pytest.raises(InputError, match="asked for a part"):
        api.sweep("small", **options(evaluate=lambda session: 1.0, rungs=(0.5, 1)))
    with pytest.raises(UnknownRun, match="no sweep"):
        api.sweep(resume="s1", store=store)
    assert store.sweeps.list() == []
