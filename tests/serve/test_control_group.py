"""Limits that the real kernel keeps, and the files that the other version of its interface would get."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serve.conftest import LIMIT_S, RunningReplica
from workbench.errors import InputError, ServeError
from workbench.serve.control_group import ControlGroup, Limits, Mounts

MIB = 1 << 20


@pytest.fixture
def group() -> Iterator[ControlGroup]:
    one = ControlGroup(f"mlops-test-{os.getpid()}/one")
    try:
        one.limit(Limits(pids=1000))
    except ServeError as error:
        pytest.skip(str(error))
    yield one
    for pid in one.processes():
        os.kill(pid, 9)
    deadline = time.monotonic() + LIMIT_S
    while one.folders() and time.monotonic() < deadline:
        one.remove()
    ControlGroup(f"mlops-test-{os.getpid()}").remove()


def run_inside(group: ControlGroup, code: str) -> subprocess.CompletedProcess[str]:
    join = f"from workbench.serve.control_group import *; ControlGroup({group.name!r}).join()"
    line = [sys.executable, "-c", f"{join}\n{code}"]
    return subprocess.run(line, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_memory_beyond_the_limit_ends_the_process(group: ControlGroup) -> None:
    group.limit(Limits(memory_bytes=64 * MIB))
    assert run_inside(group, "x = bytearray(8 << 20); print(len(x))").stdout == f"{8 * MIB}\n"
    assert run_inside(group, "x = bytearray(b'1' * (256 << 20)); print(len(x))").returncode == -9


def test_processes_beyond_the_limit_are_not_started(group: ControlGroup) -> None:
    group.limit(Limits(pids=1))
    done = run_inside(group, "import os\ntry: os.fork()\nexcept BlockingIOError: print('refused')")
    assert done.stdout == "refused\n"


def test_cpu_time_is_capped(group: ControlGroup) -> None:
    group.limit(Limits(cpus=0.1))
    code = "import time; t = time.monotonic()\nwhile time.monotonic() < t + 1.0: pass\nprint(time.process_time())"
    assert float(run_inside(group, code).stdout) < 0.5


def test_a_frozen_group_stands_still_and_goes_on(group: ControlGroup) -> None:
    code = "import time, sys\nwhile True: print('.', flush=True); time.sleep(0.001)"
    line = [sys.executable, "-c", code]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as process:
        assert process.stdout
        group.join(process.pid)
        os.set_blocking(process.stdout.fileno(), False)
        try:
            group.freeze(True)
            drain(process.stdout.fileno())
            time.sleep(0.2)
            assert drain(process.stdout.fileno()) == 0
            group.freeze(False)
            deadline = time.monotonic() + LIMIT_S
            while not drain(process.stdout.fileno()):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            process.kill()


def drain(handle: int) -> int:
    count = 0
    while True:
        try:
            count += len(os.read(handle, 1 << 16))
        except BlockingIOError:
            return count


def test_a_replica_joins_its_group_before_it_loads(
    start: Callable[..., RunningReplica], group: ControlGroup
) -> None:
    replica = start("--control-group", group.name, "--memory-bytes", str(2048 * MIB), "--pids", "200")
    replica.wait_ready()
    assert replica.process.pid in group.processes()
    assert "200" in {
        (folder / "pids.max").read_text().strip()
        for folder in group.folders()
        if (folder / "pids.max").exists()
    }


def test_a_replica_whose_limits_cannot_be_set_does_not_start(start: Callable[..., RunningReplica]) -> None:
    replica = start("--control-group", "../escape", "--pids", "10")
    assert replica.process.wait(LIMIT_S) == 1
    assert "cannot be a control group" in replica.error_file.read_text()


@pytest.mark.parametrize("name", ["", "/", "/abs", "..", "a/../b", "a//b", "a/", "./a"])
def test_a_group_cannot_leave_the_mounts(name: str) -> None:
    with pytest.raises(InputError, match="cannot be a control group"):
        ControlGroup(name)


def fake_version_2(folder: Path) -> Mounts:
    folder.mkdir(exist_ok=True)
    for part in ("", "mlops"):
        (folder / part).mkdir(exist_ok=True)
        (folder / part / "cgroup.controllers").write_text("cpu memory pids\n")
        (folder / part / "cgroup.subtree_control").write_text("\n")
    return Mounts(folder, {})


def test_the_files_of_version_2(tmp_path: Path) -> None:
    """No machine of ours has its controllers there, so this much is checked without a kernel."""
    group = ControlGroup("mlops/one", fake_version_2(tmp_path / "unified"))
    group.limit(Limits(512 * MIB, 0.5, 64))
    folder = tmp_path / "unified/mlops/one"
    written = {name: (folder / name).read_text().strip() for name in ("memory.max", "cpu.max", "pids.max")}
    assert written == {"memory.max": str(512 * MIB), "cpu.max": "50000 100000", "pids.max": "64"}
    assert (tmp_path / "unified/cgroup.subtree_control").read_text().strip() == "+pids"


def test_a_controller_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="no memory controller"):
        ControlGroup("mlops/one", Mounts(None, {"pids": tmp_path})).limit(Limits(memory_bytes=MIB))


def test_mounts_are_read_from_the_kernels_table(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
        "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\n"
        "tmpfs /tmp tmpfs rw 0 0\n"
    )
    mounts = Mounts.read(table)
    assert mounts.unified == Path("/sys/fs/cgroup/unified")
    assert mounts.controllers["cpuacct"] == Path("/sys/fs/cgroup/cpu")
