"""Profilers as context managers: ours by probe set, and the ones people use instead.

Each is on while its block runs; what it writes is thrown away. One that is not installed is not a contender;
:func:`missing` names it and how to get it.
"""

from __future__ import annotations

import contextlib
import cProfile
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

Profiler = Callable[[], AbstractContextManager[object]]
OTHERS = {"py_spy": "py-spy", "memray": "memray", "scalene": "scalene"}
"""Contenders that are packages of their own, by their module."""

_ATTACH_S = 30.0


def ours() -> dict[str, Profiler]:
    """Return our probe sets: CPU sampling at two rates, every other probe alone, and the default set."""
    from workbench.trace.probes import DEFAULT_PROBES, PROBES

    sets: dict[str, tuple[tuple[str, ...], int]] = {"cpu_99hz": (("cpu",), 99), "cpu_999hz": (("cpu",), 999)}
    sets |= {name: ((name,), 99) for name in PROBES if name != "cpu"}
    sets["default"] = (DEFAULT_PROBES, 99)
    return {name: _session(probes, hz) for name, (probes, hz) in sets.items()}


def _session(probes: tuple[str, ...], hz: int) -> Profiler:
    def start() -> AbstractContextManager[object]:
        from workbench import trace

        return trace.session(probes, hz, tier="bpf")

    return start


@contextlib.contextmanager
def clock(hz: int) -> Iterator[object]:
    """Let a clock fire on every CPU, and nothing take its samples."""
    from workbench.trace.perf_event import online_cpus, open_clock

    handles: list[int] = []
    try:
        handles += (open_clock(hz, cpu=cpu) for cpu in online_cpus())
        yield handles
    finally:
        for handle in handles:
            os.close(handle)


def others() -> dict[str, Profiler]:
    """Return the other profilers that can be switched on and off inside a process."""
    found: dict[str, Profiler] = {
        "cprofile": _cprofile,
        "torch_profiler": lambda: _torch(stacks=False),
        "torch_profiler_stacks": lambda: _torch(stacks=True),
    }
    if shutil.which("py-spy"):
        found |= {"py_spy": lambda: py_spy(), "py_spy_nonblocking": lambda: py_spy("--nonblocking")}
    if importlib.util.find_spec("memray"):
        found |= {"memray": lambda: _memray(native=False), "memray_native": lambda: _memray(native=True)}
    return found


def missing() -> list[str]:
    """Return the contenders that are not installed."""
    there = {
        "py_spy": shutil.which("py-spy"),
        "memray": importlib.util.find_spec("memray"),
        "scalene": importlib.util.find_spec("scalene"),
    }
    return [OTHERS[name] for name, found in there.items() if not found]


@contextlib.contextmanager
def _cprofile() -> Iterator[object]:
    profile = cProfile.Profile()
    profile.enable()
    try:
        yield profile
    finally:
        profile.disable()


@contextlib.contextmanager
def _torch(*, stacks: bool) -> Iterator[object]:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], with_stack=stacks) as running:
        yield running


@contextlib.contextmanager
def _memray(*, native: bool) -> Iterator[object]:
    import memray

    with tempfile.TemporaryDirectory() as folder, memray.Tracker(Path(folder) / "out", native_traces=native):
        yield folder


@contextlib.contextmanager
def py_spy(*options: str) -> Iterator[object]:
    """Attach py-spy to this process at 99 Hz."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["py-spy", "record", "--pid", str(os.getpid()), "--rate", "99", "--format", "raw"]
        command += ["--duration", "600", "--output", f"{folder}/out", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            _wait_for_output(process)
            yield process
        finally:
            process.terminate()
            process.communicate()


def _wait_for_output(process: subprocess.Popen[bytes]) -> None:
    """Wait until py-spy says that it samples; it prints nothing before it is attached."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    end, said = time.monotonic() + _ATTACH_S, b""
    while time.monotonic() < end and process.poll() is None:
        said += process.stdout.read() or b""
        if b"Sampling" in said:
            return
        time.sleep(0.02)
    raise RuntimeError(f"py-spy did not attach: {said.decode()}")
