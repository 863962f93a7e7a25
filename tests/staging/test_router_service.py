"""The machine's router: users without rights push to the kernel, each changes his own deployments only."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.route.traffic import traffic
from tests.staging.conftest import LOADER, eventually, infer
from tests.staging.test_rollout import ask
from workbench.bpf import capabilities
from workbench.route.kernel.pinned import PINS
from workbench.route.kernel.service import ROUTER, SOCKET_VARIABLE

ROOT = Path(__file__).parents[2]
NOBODY, STRANGER = 65_534, 54_321

pytestmark = pytest.mark.bpf

BEGIN = """
import json, os, shutil, sys
from pathlib import Path
from workbench import staging
from workbench.errors import WorkbenchError
from workbench.route.kernel import client
from workbench.route.kernel.service import socket_path
from workbench.staging.deployment import Deployment
from workbench.store import ArtifactDraft, Store
store = Store(Path(os.environ["MLOPS_HOME"]))
route = lambda: Deployment(store, "tiny").route()

def push(**options):
    draft = store.scratch() / "package"
    shutil.copytree(os.environ["LAYOUT"], draft)
    digest = store.artifacts.put(ArtifactDraft("package", draft))
    return staging.push(store, digest, name="tiny", loader=os.environ["LOADER"], route="kernel", **options)

def show(status):
    print(json.dumps([status.url, status.route, status.phase, status.route_pid, route().key,
                      [t.replicas[0].pid for t in status.tracks]]))

def refusal(message):
    try:
        client.ask(socket_path(), message)
    except WorkbenchError as error:
        print(json.dumps([type(error).__name__, error.what]))
"""


@dataclass
class User:
    """A user without rights: he may read files (ours may lie in a closed home), and nothing else."""

    uid: int
    home: Path
    layout: Path
    socket: Path

    def run(self, script: str) -> Any:
        found = {"MLOPS_HOME": str(self.home), "LAYOUT": str(self.layout), "LOADER": LOADER}
        found |= {SOCKET_VARIABLE: str(self.socket), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        command += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
        command += ["--bounding-set=-all,+dac_read_search", "--no-new-privs"]
        done = subprocess.run(
            [*command, sys.executable, "-P", "-c", BEGIN + script],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **found},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    def end(self) -> None:
        """End what a failed test left of his."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.home).encode() in path.read_bytes():
                    os.kill(int(path.parent.name), signal.SIGKILL)
        shutil.rmtree(PINS / str(self.uid), ignore_errors=True)


@pytest.fixture
def users(tiny_layout: Path) -> Iterator[tuple[User, User]]:
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("becoming other users needs root and setpriv: the router's service was NOT tested")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        socket = folder / "run" / "router.sock"
        ROUTER.start(socket)
        both = []
        for uid in (NOBODY, STRANGER):
            home = folder / str(uid)
            home.mkdir()
            os.chown(home, uid, uid)
            both.append(User(uid, home / "store", tiny_layout, socket))
        try:
            yield both[0], both[1]
        finally:
            for one in both:
                one.end()
            ROUTER.remove(socket)


def test_two_users_without_rights_push_one_name(users: tuple[User, User]) -> None:
    ours, theirs = users
    now = ROUTER.status(ours.socket)
    assert (now.user, set(now.capabilities)) == (
        capabilities.NOBODY,
        {"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"},
    )
    url, route, phase, router, key, pids = ours.run("push(); show(push(canary=0.5))")
    assert (route, phase, router) == ("kernel (sk_lookup)", "canary", now.pid)
    other, *_, their_key, _ = theirs.run("show(push())")
    assert other != url
    assert {ask(url) for _ in range(20)} == {"1", "2"}
    assert {ask(other) for _ in range(20)} == {"1"}

    # A stranger reaches nothing of ours by its name, and cannot have our processes watched.
    assert theirs.run(f"refusal({{'do': 'quiet', 'key': {key!r}, 'words': []}})")[0] == "TraceError"
    kind, what = theirs.run(
        "from workbench import codec\nfrom workbench.route.state import *\n"
        f"state = RouteState(generation=10**6, stable=Track(9, (Endpoint('9-0', '127.0.0.1', 1, {pids[0]}),)))\n"
        f"refusal({{'do': 'apply', 'key': {their_key!r}, 'state': codec.to_json(state), 'listeners': []}})"
    )
    assert (kind, what) == ("BadRequest", f"process {pids[0]} is not user {STRANGER}'s")

    # The router dies: the split goes on, and the next one takes up both users' routes.
    with traffic(url, infer(), clients=4) as load:
        load.wait_for(20)
        os.kill(now.pid, signal.SIGKILL)
        load.wait_for(20)
        again = eventually(lambda: (s := ROUTER.start(ours.socket)).pid != now.pid and s)
        assert again.pid
        url_, _, phase, *_ = ours.run("show(staging.promote(store, 'tiny'))")
        load.wait_for(20)
        assert (url_, phase) == (url, "stable")
    assert load.failures == []
    assert {ask(url) for _ in range(10)} == {"2"}
    assert ask(other) == "1"
    for user in users:
        user.run("staging.unstage(store, 'tiny')")
    assert [path for user in users for path in (PINS / str(user.uid)).glob("*")] == []


def test_without_a_router_it_says_what_to_type(users: tuple[User, User]) -> None:
    ours, _ = users
    ROUTER.remove(ours.socket)
    kind, what, fix = ours.run(
        "try: push()\nexcept WorkbenchError as error: print(json.dumps([type(error).__name__, error.what, error.fix]))"
    )
    assert kind == "NoPrivilege"
    assert "sudo mlops router start" in what
    assert fix == "--route proxy"


@pytest.mark.parametrize(
    "before",
    ["true", "mkdir -m 700 /sys/fs/bpf/mlops && chown nobody /sys/fs/bpf/mlops"],
    ids=["the first", "after another"],
)
def test_it_starts_with_the_rights_its_unit_leaves_root(tmp_path: Path, before: str) -> None:
    if os.geteuid() or not (shutil.which("setpriv") and shutil.which("unshare")):
        pytest.skip("needs root, setpriv and unshare: the router's unit was NOT tested")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip(
            "the root of this chroot is no mount, so it has no mounts of its own: the router's unit was NOT tested"
        )
    socket = tmp_path / "router.sock"
    (left,) = re.findall(r"CapabilityBoundingSet=(.*)", ROUTER.unit_text(socket))
    bounds = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in left.split())
    script = (
        f"mount -t bpf -o mode=700 bpf /sys/fs/bpf && {before} && exec setpriv --no-new-privs --inh-caps=-all"
    )
    script += f" --bounding-set=-all,{bounds} {shlex.join(ROUTER.command(socket))}"
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script], cwd=ROOT) as process:
        try:
            now = eventually(lambda: (s := ROUTER.status(socket)).user == capabilities.NOBODY and s)
            assert set(now.capabilities) == {"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"}
            assert now.pid == process.pid
        finally:
            process.kill()


def test_a_users_connector_gets_the_maps_of_his_deployment(users: tuple[User, User]) -> None:
    me, _ = users
    url, route, *_ = me.run("show(push(split='request'))")
    assert route == "kernel (sk_lookup, requests by sockmap)"
    me.run("push(canary=0.5, split='request')")
    with traffic(url, infer(), clients=2) as load:
        load.wait_for(40)
    assert load.failures == []
    assert set(load.by_version()) == {"1", "2"}
    me.run("staging.unstage(store, 'tiny')")
