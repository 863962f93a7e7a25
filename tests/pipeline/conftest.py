"""A store, functions as a notebook defines them, and processes that drive runs and can be killed."""

import subprocess
import sys
import textwrap
import time

import pytest

from workbench.pipeline import callables
from workbench.pipeline.executors.executor import Executor
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep
from workbench.store import Store


@pytest.fixture(autouse=True)
def _ahead(monkeypatch):
    """Start a recipe's next process ahead as for a user, but make no session of this process, which runs all tests."""
    monkeypatch.delenv("MLOPS_AHEAD")
    monkeypatch.setattr("workbench.pipeline.spare.stay_soon", lambda: None)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "home")
    yield store
    store.close()


@pytest.fixture
def executor(store):
    return Executor(store)


@pytest.fixture
def cell():
    """Define functions as a notebook cell does: ``cell("def f(): ...")["f"]``."""

    def define(source, **names):
        namespace = {"__name__": "__main__", **names}
        exec(textwrap.dedent(source), namespace)
        return namespace

    return define


@pytest.fixture
def four_sums(store, cell):
    """Train and capture ``net``, which names the largest of four sums; give its accuracy and its batches."""

    def trained(width):
        import torch
        from torch import nn

        from workbench import api

        torch.manual_seed(0)
        x, corner = torch.randn(320, 8), torch.randn(8, 4)
        y = (x @ corner).argmax(1)
        layers = [nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4)]
        module = nn.Sequential(*layers)
        optimizer = torch.optim.Adam(module.parameters(), 1e-2)
        for _ in range(80):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x), y).backward()
            optimizer.step()
        api.capture(module.eval(), (x[:4],), name="net", store=store)
        source = "def accuracy(model):\n    return float((model(x).argmax(1) == y).float().mean())"
        return cell(source, x=x, y=y)["accuracy"], list(zip(x.split(32), y.split(32), strict=True))

    return trained


@pytest.fixture
def calls(store):
    """Make a recipe that calls functions one after the other, each on the former's result."""

    def recipe(*functions, retries=0):
        steps = [
            CallStep(callables.send(store, function), f"step:{n - 1}" if n else "", name=f"value-{n}")
            for n, function in enumerate(functions)
        ]
        return Recipe(tuple(steps), retries=retries)

    return recipe


@pytest.fixture
def wait():
    """Wait until something is true; fail when it has not become so in time."""

    def until(condition, what, seconds=30):
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                pytest.fail(f"{what} did not happen in {seconds} s")
            time.sleep(0.01)
        return value

    return until


DRIVE = """
import sys, pathlib
from workbench.store import Store
from workbench.pipeline.recipe import loads
from workbench.pipeline.executors.executor import Executor
store = Store(pathlib.Path(sys.argv[1]))
recipe = loads(pathlib.Path(sys.argv[2]).read_text())
try:
    Executor(store).submit(recipe, title="driven")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture
def driving(store, tmp_path):
    """Drive a recipe in the foreground of another process, as a kernel does."""
    from workbench import codec

    started = []

    def start(recipe):
        path = tmp_path / "recipe.json"
        path.write_text(codec.dumps(recipe))
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVE, str(store.home), str(path)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
