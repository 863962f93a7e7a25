"""The Ray executor: three nodes in network namespaces, one killed halfway; other environments; a lost head."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench.errors import InputError, RunError, WorkbenchError
from workbench.pipeline import callables
from workbench.pipeline.executors.executor import Executor
from workbench.pipeline.executors.ray_node import RayNode, authenticated, free_port
from workbench.pipeline.executors.room import shared
from workbench.pipeline.mirror import reflections
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep
from workbench.pipeline.walk.recipe import compiled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 60
MEETING = "MLOPS_TEST_MEETING"
LOST_SOON = {
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
}
"""Ray asks a node every 3 s and gives it up after five refusals, and looks for a lost head for a minute; a slow
answer may take as long as ever."""


@wb.step(cache=False)
def work(i: int, folder: str):
    import time

    with (Path(folder) / str(i)).open("a") as file:
        file.write(f"{time.time()}\n")
    time.sleep(0.05)
    rng = np.random.default_rng(i)
    return {"i": i, "w": rng.normal(size=1000), "seeded": np.random.rand(2)}


@wb.step
def summed(parts) -> float:
    return float(sum(part["w"].sum() + part["seeded"].sum() for part in parts))


@wb.pipeline
def fan_out(folder: str, n: list):
    with wb.each(n) as i:
        part = work(i, folder)
    return summed(part)


@wb.step
def slow(i: int) -> int:
    import time

    time.sleep(120)
    return i


@wb.pipeline
def endless():
    return slow.map([1, 2])


LATE, OWN = "longer than 1 s", "and then an error of its own"


@wb.step(timeout_s=1)
def late() -> int:
    import time

    time.sleep(60)
    return 1


@wb.step(retries=1, cache=False)
def twice(folder: str) -> int:
    path = Path(folder) / "tries"
    with path.open("a") as file:
        file.write("x")
    if len(path.read_text()) < 2:
        os.kill(os.getpid(), 9)
    raise ValueError(OWN)


@wb.pipeline
def failing(folder: str):
    late()
    twice(folder)


def drawn():
    import torch

    return {"numpy": np.random.rand(2), "torch": torch.rand(2)}


def skewed():
    """Return a module whose weights three levels cannot hold: float32 [batch, 8] to [batch, 1]."""
    import torch

    first, middle, last = (torch.nn.Linear(8, width, bias=False) for width in (8, 8, 1))
    with torch.no_grad():
        first.weight.copy_(torch.eye(8))
        middle.weight.zero_()
        middle.weight[0] = torch.tensor([3, -0.1, 0.5, 0.02, -2, 1, 0.3, 0.7])
        last.weight.copy_(torch.eye(8)[:1])
    return torch.nn.Sequential(first, middle, last).eval()


def likeness(session, fraction=1.0):
    """Score by distance to the float module; at the first rung wait until all three trials are there at once."""
    import ray
    import torch

    folder = Path(os.environ[MEETING])
    if fraction < 1:
        (folder / str(os.getpid())).write_text(ray.util.get_node_ip_address())
        until = time.monotonic() + 120
        while len(list(folder.iterdir())) < 3 and time.monotonic() < until:
            time.sleep(0.05)
    batch = torch.randn(64, 8, generator=torch.Generator().manual_seed(5))[: int(64 * fraction)]
    return -float((session(batch) - skewed()(batch)).abs().mean())


@pytest.fixture
def cluster(monkeypatch):
    """A folder for a cluster's token and logs, with everything in it ended afterwards."""
    pytest.importorskip("ray")
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    for name, value in {**authenticated(folder), **LOST_SOON}.items():
        monkeypatch.setenv(name, value)
    nodes: list[RayNode] = []
    yield folder, nodes
    for node in nodes:
        node.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def networks():
    """Two network namespaces on a bridge with an address of this one."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("NOT RUN: three Ray nodes in network namespaces need root and iproute2")
    tag, subnet = f"mw{os.getpid() % 100000}", f"10.{200 + os.getpid() % 50}.{os.getpid() % 250}"
    bridge = f"{tag}b"
    _ip(f"link add {bridge} type bridge")
    _ip(f"addr add {subnet}.1/24 dev {bridge}")
    _ip(f"link set {bridge} up")
    names = []
    for at in (2, 3):
        name, cable = f"{tag}n{at}", f"{tag}v{at}"
        _ip(f"netns add {name}")
        names.append(name)
        _ip(f"link add {cable} type veth peer name eth0 netns {name}")
        _ip(f"link set {cable} master {bridge} up")
        _ip(f"-n {name} addr add {subnet}.{at}/24 dev eth0")
        _ip(f"-n {name} link set eth0 up")
        _ip(f"-n {name} link set lo up")
    yield subnet, names
    for name in names:
        _ip(f"netns del {name}")
    _ip(f"link del {bridge}")


def _ip(words):
    subprocess.run(["ip", *words.split()], check=True, capture_output=True, timeout=30)


def test_a_cluster_of_three_nodes_to_its_end(store, tmp_path, cluster, networks, monkeypatch):
    """One cluster for all of it: starting one takes longer than the rest. Each part says what it is about."""
    (folder, nodes), (subnet, names) = cluster, networks
    (tmp_path / "meeting").mkdir()
    monkeypatch.setenv(MEETING, str(tmp_path / "meeting"))  # the nodes' processes inherit it
    address = f"{subnet}.1:{free_port()}"
    nodes.append(RayNode(folder, address, 1, head=True))

    def join(at, name):
        prefix = ("ip", "netns", "exec", name)
        nodes.append(RayNode(folder, address, 1, ip=f"{subnet}.{at}", prefix=prefix))

    with ThreadPoolExecutor() as pool:
        list(pool.map(join, (2, 3), names))
    executor = f"ray://{address}"
    with shared(executor) as (name, room):
        assert (name, room) == (executor, 3)
    _errors_of_steps_come_back(store, tmp_path, executor)
    _another_environment_is_refused_by_name(store, tmp_path, executor, monkeypatch)
    _verbs_leave_the_same(store, executor)
    _a_sweep_uses_every_node(store, executor)
    _a_lost_node_costs_nothing_that_was_finished(store, tmp_path, executor, nodes)
    _a_lost_head_is_an_error_and_no_more(store, executor, nodes)


def _errors_of_steps_come_back(store, tmp_path, executor):
    with pytest.raises(WorkbenchError, match=f"{LATE}|{OWN}"):
        wb.run(failing, {"folder": str(tmp_path)}, store=store, executor=executor)
    run = store.runs.get(store.runs.list(1)[0].id)
    errors = {step.verb: step.error["what"] for step in run.steps}
    assert LATE in errors["late"]
    assert OWN in errors["twice"]


def _another_environment_is_refused_by_name(store, tmp_path, executor, monkeypatch):
    strange = tmp_path / "strange"
    (strange / "numpyro-9.9.dist-info").mkdir(parents=True)
    with monkeypatch.context() as changed:
        changed.syspath_prepend(str(strange))
        changed.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{strange}")
        with pytest.raises(InputError, match=r"another environment: numpyro absent instead of 9\.9"):
            wb.run(endless, store=store, executor=executor)


def _verbs_leave_the_same(store, executor):
    here = Executor(store).submit(Recipe((CallStep(callables.send(store, drawn)),))).row
    work = compiled(Recipe((CallStep(callables.send(store, drawn)),)), fresh=True)
    there = Executor(store, executor).submit(work).row
    assert [one.equal for one in reflections(here.steps, there.steps)] == [True]


def _a_sweep_uses_every_node(store, executor):
    """Out of time halfway, then resumed: the hopeless trial stops early, the table is full, nothing runs twice."""
    import torch

    wb.capture(f"{__name__}:skewed", torch.ones(2, 8), name="net", store=store)
    asked = {
        "schemes": ("int8", "ternary"),
        "backends": ("eager",),
        "rungs": (0.25, 1),
        "max_drop": 0.2,
    }
    first = wb.sweep("net", **asked, evaluate=likeness, budget=0.0, executor=executor, store=store)
    assert first.state == "stopped"
    said = []
    result = wb.sweep(resume=first.id, store=store, say=said.append)
    assert result.state == "done", said
    states = {key: one["state"] for key, one in result.trials.items()}
    assert states == {
        "fp32 (eager)": "baseline",
        "int8/eager": "done",
        "ternary/eager": "stopped",
    }, said
    assert result.trials["ternary/eager"]["rung"] == 0.25
    assert result.best == ["net:int8/eager"]
    assert {one["name"] for one in result.compared} >= {"net:int8/eager", "fp32 (eager)"}
    runs = [run for run in store.runs.list() if run.title.startswith(f"sweep {first.id}")]
    assert {run.executor for run in runs} == {executor}
    assert len({run.title for run in runs}) == len(runs), "a unit of a trial ran twice"
    met = [path.read_text() for path in Path(os.environ[MEETING]).iterdir()]
    assert len(set(met)) == 3, f"three trials at once ran on {met}"
    (made,) = store.origins.of(result.trials["int8/eager"]["variant"])
    assert made.facts["node"] in met


def _a_lost_node_costs_nothing_that_was_finished(store, tmp_path, executor, nodes):
    marks = tmp_path / "marks"
    marks.mkdir()
    done, finished = Counter(), set()

    def listen(event):
        done[event.kind] += 1
        if event.kind == "step.done" and done["step.done"] == STEPS // 2:
            run = store.runs.get(event.run_id)
            finished.update(step.verb for step in run.steps if step.state == "done")
            nodes[2].kill()

    arguments = {"folder": str(marks), "n": list(range(STEPS))}
    result = wb.run(fan_out, arguments, store=store, executor=executor, on_event=listen)
    assert len(finished) >= STEPS // 2
    for path in finished:
        number = path.partition("[")[2].partition("]")[0]
        assert len((marks / number).read_text().split()) == 1, f"{path} was finished and ran again"
    assert result.value() == wb.run(fan_out, arguments, store=store, fresh=True).value()
    ours, theirs = (store.runs.get(one) for one in (result.run, store.runs.list(1)[0].id))
    made = [{step.verb: step.result for step in run.steps} for run in (ours, theirs)]
    assert made[0] == made[1]
    assert len(made[0]) == STEPS + 1


def _a_lost_head_is_an_error_and_no_more(store, executor, nodes):
    def lose(event):
        if event.kind == "step.started" and nodes:
            nodes.pop(0).kill()

    with pytest.raises(RunError, match=r"Ray at .* is gone|Ray could not finish"):
        wb.run(endless, store=store, executor=executor, on_event=lose)
    assert store.runs.list(1)[0].state == "failed"


def test_nobody_there_and_what_cannot_leave_is_refused_before_anything_starts(store, cluster):
    with pytest.raises(InputError, match="no executor 'slurm'"):
        wb.run(endless, store=store, executor="slurm")
    with pytest.raises(RunError, match="no Ray cluster answers at") as caught:
        wb.run(endless, store=store, executor=f"ray://127.0.0.1:{free_port()}")
    assert "ray start --head" in caught.value.fix
    with pytest.raises(InputError, match="'somewhere' is no HOST:PORT"):
        wb.run(endless, store=store, executor="ray://somewhere")
    with pytest.raises(InputError, match="live module"):
        import torch

        wb.capture(torch.nn.Linear(2, 2), torch.zeros(1, 2), name="m", store=store, executor="ray")
