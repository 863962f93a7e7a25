"""The process that may change what is in the kernel: its rights, whom it hears, what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.route.behind_kernel import (
    begin,
    endpoint,
    track,
    versions,
)
from tests.route.conftest import ROOT, Rig
from workbench.bpf.sockets import dial
from workbench.errors import BadRequest, PortInUse, StagingError
from workbench.route.kernel import listeners
from workbench.route.kernel.pinned import PINS
from workbench.route.kernel.route import KernelRoute, remove_pins
from workbench.route.kernel.sweep import sweep
from workbench.route.state import (
    Endpoint,
    Track,
    start_canary,
    swap,
)

pytestmark = pytest.mark.bpf


def test_an_installation_in_a_closed_home_folder(rig: Rig, kernel: KernelRoute, tmp_path: Path) -> None:
    """The router becomes a user who may read nothing there, so whatever it needs it reads before that."""
    home = tmp_path / "home"
    shutil.copytree(ROOT / "workbench", home / "workbench", ignore=shutil.ignore_patterns("__pycache__"))
    home.chmod(0o700)

    there = ["env", "-C", str(home), f"PYTHONPATH={home}"]
    kernel.start(lambda command, log: rig.launch([*there, *command], log))
    one = track(rig, 1)
    kernel.update(lambda now: swap(now, one))
    assert versions(kernel.wait_ready(30), 5) == {"1": 5}


def test_a_port_of_another_process_is_named(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        route = KernelRoute(rig.folder / "x" / "route", rig.launch, port=stranger.getsockname()[1])
        route.start(rig.launch)
        with pytest.raises(PortInUse, match="taken by another process"):
            route.wait_ready(30)
    remove_pins(route.folder)


def test_the_router_is_left_with_its_three_rights(rig: Rig, kernel: KernelRoute) -> None:
    begin(kernel, rig, track(rig, 1))
    pid = json.loads((kernel.folder / "router.json").read_text())["owner"].partition(":")[0]
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == 1 << 12 | 1 << 38 | 1 << 39
    assert fields["Uid"].split() == ["65534"] * 4
    assert fields["NoNewPrivs"] == "1"


def test_a_listener_that_is_not_there(rig: Rig) -> None:
    one = endpoint(rig, 1)
    with pytest.raises(StagingError, match="does not listen"), listeners.listener_of(one.pid, 1):
        pass
    with pytest.raises(StagingError, match="does not listen"), listeners.listener_of(2**22 - 1, 80):
        pass


def test_the_router_watches_no_stranger(rig: Rig, kernel: KernelRoute) -> None:
    begin(kernel, rig, track(rig, 1))
    with subprocess.Popen(["sleep", "60"], user=65534, group=65534, extra_groups=[]) as stranger:
        try:
            other = Track(2, (Endpoint("2-0", "127.0.0.1", 1, stranger.pid),))
            with pytest.raises(BadRequest, match="is not user 0's"):
                kernel.update(lambda now: start_canary(now, other, 5_000))
            assert kernel.state().phase == "stable"  # as it was before
        finally:
            stranger.kill()


@pytest.mark.parametrize(
    "text", [b"{}", b"[]", b"x", b'{"key": "../..", "do": "open"}', b'{"key": "a", "do": "read"}']
)
def test_the_router_answers_nonsense_and_lives(rig: Rig, kernel: KernelRoute, text: bytes) -> None:
    url = begin(kernel, rig, track(rig, 1))
    with dial(str(kernel.folder / "router.sock")) as line:
        line.send(text)
        assert b"error" in line.recv(4096)
    assert kernel.alive()
    assert versions(url, 1) == {"1": 1}


def test_a_sweep_takes_the_dead_and_leaves_the_living(rig: Rig, kernel: KernelRoute) -> None:
    url = begin(kernel, rig, track(rig, 1))
    pins = PINS / str(os.geteuid()) / kernel.key
    sweep(grace_s=0)
    assert versions(url, 2) == {"1": 2}
    for process in rig.processes:
        process.kill()
        process.wait(10)
    sweep()
    assert pins.exists()  # it is young
    assert sweep(grace_s=0) >= 1
    assert not pins.exists()
