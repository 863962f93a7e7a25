"""A canary is judged by its CUDA calls: a library that stands in for the driver, real processes, exact counts."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
from pathlib import Path

import pytest

from tests.route.behind_kernel import begin, endpoint, eventually
from tests.route.conftest import ROOT, Rig
from workbench.errors import InputError, StagingError
from workbench.route.kernel.route import KernelRoute
from workbench.route.slo import parse
from workbench.route.state import Rollback, Track, start_canary
from workbench.route.user_space import UserSpaceRoute
from workbench.staging.cuda_watch import CudaWatch

pytestmark = pytest.mark.bpf


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cuda") / "libcuda.so.1"
    source = ROOT / "tests" / "kernel" / "native" / "standin.c"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", out, source], check=True)
    return out


@pytest.fixture
def canary(rig: Rig, kernel: KernelRoute, driver: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Track]:
    monkeypatch.setenv("CUDA_STANDIN", str(driver))
    url = begin(kernel, rig, Track(1, (endpoint(rig, 1),)))
    return url, Track(2, (endpoint(rig, 2),))


def ask_canary(url: str, path: str) -> None:
    """Ask until the canary has answered once; stable does the same on the way."""
    for _ in range(200):
        line = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=30)
        with contextlib.closing(line):
            line.request("GET", path)
            answer = line.getresponse()
            answer.read()
            if answer.headers["x-mlops-version"] == "2":
                return
    raise AssertionError("the canary was never asked")


def start(kernel: KernelRoute, track: Track, slo: str) -> None:
    budget = parse(slo)
    with contextlib.closing(CudaWatch()) as watch:
        watch.look(kernel, budget, track.endpoints)
        watch.look(kernel, budget, track.endpoints)  # a second look adds nothing
    kernel.update(lambda now: start_canary(now, track, 5_000, budget))


def rolled_back(kernel: KernelRoute) -> Rollback:
    (record,) = eventually(lambda: kernel.state().rollbacks)
    assert record.by == "sentinel"
    assert record.flip_ns > record.breach_ns > 0
    return record


def test_calls_that_fail(kernel: KernelRoute, canary: tuple[str, Track]) -> None:
    url, track = canary
    start(kernel, track, "cuda_errors<3")
    for _ in range(2):
        ask_canary(url, "/cuda")
        ask_canary(url, "/launch?5")
    assert kernel.state().phase == "canary"
    ask_canary(url, "/cuda")
    record = rolled_back(kernel)
    assert (record.reason, record.observed, record.stable, record.budget) == ("cuda_errors", 3, 1, 3)
    assert record.pid == track.endpoints[0].pid
    assert record.evidence() == "cuda_errors, 3 failed CUDA call(s), the last with 1, budget 3"


def test_launches_without_an_answer(kernel: KernelRoute, canary: tuple[str, Track]) -> None:
    url, track = canary
    start(kernel, track, "cuda_launches<100")
    for _ in range(3):
        ask_canary(url, "/launch?100")
    assert kernel.state().phase == "canary"
    ask_canary(url, "/launch?101")
    record = rolled_back(kernel)
    assert (record.reason, record.observed, record.budget) == ("cuda_launches", 101, 100)


def test_what_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 CUDA calls"):
        parse("cuda_errors<0")
    with pytest.raises(StagingError, match="sees no CUDA calls"):
        UserSpaceRoute(tmp_path).watch_cuda(1, 0, [1], [])


def test_a_route_that_failed_is_told_again(tmp_path: Path, canary: tuple[str, Track]) -> None:
    class Absent(UserSpaceRoute):
        told = 0

        def watch_cuda(self, pid: int, file: int, returns: object, launches: object) -> None:
            self.told += 1
            if self.told == 1:
                raise StagingError("the router does not answer")

    _, track = canary  # a process of its own: this one may have mapped other tests' drivers
    route, budget = Absent(tmp_path), parse("cuda_errors<1")
    with contextlib.closing(CudaWatch()) as watch:
        with pytest.raises(StagingError, match="does not answer"):
            watch.look(route, budget, track.endpoints)
        for _ in range(2):
            watch.look(route, budget, track.endpoints)
    assert route.told == 2
