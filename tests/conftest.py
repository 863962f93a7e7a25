"""What every test gets: one thread a process, a store of its own, and honest skips."""

import ctypes.util
import os
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

LONGEST = tuple(
    f"tests/{name}" for name in ("pipeline", "notebooks", "compile", "api", "browser", "staging", "kernel")
)
"""Folders that take minutes, the longest first: each begins while both processes still have work."""

# Set before torch loads: OpenMP threads that wait for one another on two busy cores cost up to twenty times.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell's background job starts with interrupts ignored, and so would every process the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory):
    """Keep every test, and every process it starts, out of the checkout's own store; start no process ahead."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_AHEAD", "0")
        patch.setenv("MLOPS_HOME", str(tmp_path_factory.mktemp("mlops-home")))
        yield


@pytest.fixture
def small_disk(tmp_path):
    """Make tmp_path a real file system of 3 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root: the full-disk behaviour was NOT tested")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(
            f"mounting a small tmpfs failed: the full-disk behaviour was NOT tested ({mounted.stderr})"
        )
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def pytest_collection_modifyitems(config, items):
    """Skip what this machine cannot do, and say why; leave out what takes long unless asked for by name."""
    if "chaos" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("chaos")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    reasons = {"bpf": _no_bpf(), "browser": _no_browser()}
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
    if hasattr(
        config, "workerinput"
    ):  # several processes: the scheduler below hands folders out in this order
        sizes = Counter(_folder(item.nodeid) for item in items)
        rank = {folder: number for number, folder in enumerate(LONGEST)}
        items.sort(key=lambda item: (rank.get(_folder(item.nodeid), len(rank)), -sizes[_folder(item.nodeid)]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Where tests run in two processes, keep a folder in one of them: its tests share what was dear to make."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _folder(nodeid)

    config.option.loadscopereorder = False  # by number of tests, the few long ones would begin last
    return ByFolder(config, log)


def _folder(nodeid):
    return "/".join(nodeid.partition("::")[0].split("/")[:2])


def _no_bpf():
    status = Path("/proc/self/status").read_text()
    effective = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16)
    cap_bpf, cap_sys_admin = 1 << 39, 1 << 21
    if not effective & (cap_bpf | cap_sys_admin):
        return "loading BPF programs needs root or CAP_BPF"
    if not ctypes.util.find_library("bpf"):
        return "libbpf is not installed (system-packages.txt)"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "this kernel carries no type information (BTF)"
    return ""


def _no_browser():
    return "" if shutil.which("chromium") else "chromium is not installed"
