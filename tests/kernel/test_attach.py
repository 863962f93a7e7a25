"""Processes that know nothing of it: other Pythons, subprocesses, namespaces; they are traced as they are."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.kernel.asking import NEW_PIDS
from tests.kernel.waiting import until_worked
from workbench import trace
from workbench.errors import TraceError
from workbench.trace.symbols.interpreter import find_interpreter

pytestmark = pytest.mark.bpf

_SYSTEM = "/usr/bin/python3"
_SPIN = textwrap.dedent(
    """
    import sys, time
    def innermost(seconds):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            sum(range(200))
    def planted(seconds):
        innermost(seconds)
    print("ready", flush=True)
    while True:
        planted(0.05)
    """
)


def _interpreter(version):
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    found += filter(None, [shutil.which(f"python{version}")])
    if not found:
        pytest.skip(f"no Python {version} under ~/.pyenv/versions or on PATH")
    return str(found[0])


def _distribution():
    """What the system came with: stripped, built without frame pointers and optimised across files."""
    try:
        version = subprocess.run([_SYSTEM, "-VV"], check=True, capture_output=True, text=True).stdout
    except OSError:
        pytest.skip(f"no {_SYSTEM}")
    if version.split()[1].rpartition(".")[0] not in ("3.11", "3.12", "3.13"):
        pytest.skip(f"{_SYSTEM} is {version}")
    return _SYSTEM


def _names(recorded, pid):
    rows = [sample for sample in recorded.samples if sample.kind == "cpu" and sample.pid == pid]
    return rows, [[frame.name for frame in recorded.stack(row) if frame.kind == "python"] for row in rows]


def _trace_other(command, seconds=0.3):
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "ready\n"
            with trace.session(("cpu", "audit"), hz=499, tier="bpf", pid=other.pid) as recorder:
                until_worked(other.pid, seconds)
        finally:
            other.kill()
    return recorder.trace, other.pid


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "distribution"])
def test_python_frames_of_another_interpreter(version):
    interpreter = _distribution() if version == "distribution" else _interpreter(version)
    recorded, pid = _trace_other([interpreter, "-c", _SPIN])
    rows, stacks = _names(recorded, pid)
    assert len(rows) > 20
    deep = [stack for stack in stacks if stack[:3] == ["<module>", "planted", "innermost"]]
    assert len(deep) > 0.9 * len(stacks)
    lines = {frame.line for row in rows for frame in recorded.stack(row) if frame.name == "innermost"}
    assert lines <= {4, 5, 6}
    assert not any("Python frames" in note for note in recorded.meta.notes)


def test_an_interpreter_we_do_not_know_is_said_and_still_sampled():
    recorded, pid = _trace_other([_interpreter("3.10"), "-c", _SPIN])
    rows, stacks = _names(recorded, pid)
    assert len(rows) > 20
    assert not any(stacks)
    assert any("not supported yet" in note for note in recorded.meta.notes)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_subprocess_is_followed_with_its_own_interpreter(version):
    script = _SPIN.replace("while True:", "for _ in range(20):")
    with trace.session(("cpu",), hz=499, tier="bpf") as recorder:
        subprocess.run([_interpreter(version), "-c", script], check=True, stdout=subprocess.DEVNULL)
    recorded = recorder.trace
    stacks = [
        [frame.name for frame in recorded.stack(row)] for row in recorded.samples if row.pid != os.getpid()
    ]
    named = [stack for stack in stacks if "innermost" in stack and "planted" in stack]
    # The interpreter is found a moment after the program began.
    assert len(named) > 0.5 * len(stacks) > 20


def test_a_process_that_is_no_child_is_traced_for_its_user(tmp_path):
    """As a staging replica is: started by somebody, its parent gone."""
    (tmp_path / "spin.py").write_text(_SPIN)
    launch = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, {str(tmp_path / 'spin.py')!r}], start_new_session=True,\n"
        f"    stdout=open({str(tmp_path / 'out')!r}, 'w'), stderr=subprocess.DEVNULL)\nprint(child.pid)"
    )
    pid = int(
        subprocess.run([sys.executable, "-c", launch], check=True, capture_output=True, text=True).stdout
    )
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "out").read_text() and time.monotonic() < end:
            time.sleep(0.02)
        with trace.session(("cpu",), hz=499, tier="bpf", pid=pid) as recorder:
            until_worked(pid, 0.3)
    finally:
        os.kill(pid, 9)
    _, stacks = _names(recorder.trace, pid)
    assert any("planted" in stack for stack in stacks)
    assert recorder.trace.meta.pid == pid


def test_a_process_in_a_pid_namespace_is_traced_from_outside():
    command = [*NEW_PIDS, "--kill-child", sys.executable, "-c", _SPIN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "ready\n"
            (child,) = Path(f"/proc/{other.pid}/task/{other.pid}/children").read_text().split()
            with trace.session(("cpu",), hz=499, tier="bpf", pid=int(child)) as recorder:
                until_worked(int(child), 0.3)
        finally:
            other.kill()
    # Numbers are ours, not the namespace's.
    _, stacks = _names(recorder.trace, int(child))
    assert any("planted" in stack for stack in stacks)


_BUSY = """
__attribute__((noinline)) static void before(void) { __asm__ volatile(".fill PADDING, 1, 0x90"); }
__attribute__((noinline)) void NAME(int n) { volatile long s = 0; for (int i = 0; i < n; i++) s += i; }
void busy(int n) { before(); NAME(n); }
"""


def test_native_names_are_of_the_files_a_process_sees(tmp_path):
    """As in a container: its library lies where ours is another, and it has ended when names are looked up."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("mounts cannot be made private here (a chroot): files of a container were NOT tested")
    ours, theirs = tmp_path / "libbusy.so", tmp_path / "libother.so"
    for library, name, padding in ((ours, "wrong", 1), (theirs, "right", 500)):
        source = _BUSY.replace("NAME", name).replace("PADDING", str(padding))
        command = ["cc", "-O1", "-shared", "-fPIC", "-x", "c", "-", "-o", library]
        subprocess.run(command, input=source, check=True, text=True)
    spin = (
        f"import ctypes\nbusy = ctypes.CDLL({str(ours)!r}).busy\n"
        "print('ready', flush=True)\nwhile True: busy(100000)"
    )
    shell = f'mount --bind {theirs} {ours} && exec {sys.executable} -c "$SPIN"'
    command = ["unshare", "--mount", "sh", "-c", shell]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "SPIN": spin}
    ) as other:
        try:
            assert other.stdout.readline() == "ready\n"
            with trace.session(("cpu",), hz=499, tier="bpf", pid=other.pid) as recorder:
                until_worked(other.pid, 0.3)
                other.kill()
                other.wait()
        finally:
            other.kill()
    names = {frame.name for frame in recorder.trace.frames if frame.file == "libbusy.so"}
    assert "right" in names <= {"right", "busy", "before"}


def test_a_process_that_exits_during_the_trace():
    with subprocess.Popen([sys.executable, "-c", _SPIN], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        with trace.session(("cpu", "sched", "audit"), hz=499, tier="bpf", pid=other.pid) as recorder:
            until_worked(other.pid, 0.2)
            other.kill()
            other.wait()
            time.sleep(0.3)
    rows, stacks = _names(recorder.trace, other.pid)
    assert rows
    assert any("planted" in stack for stack in stacks)


def test_a_process_that_is_gone_is_an_error():
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    with pytest.raises(TraceError, match=f"process {gone.pid} cannot be traced"):
        trace.session(("cpu",), tier="bpf", pid=gone.pid).__enter__()


def test_find_interpreter_of_a_program_without_one():
    with subprocess.Popen(["sleep", "20"]) as other:
        try:
            found, why = find_interpreter(other.pid)
            assert found is None
            assert "no Python" in why
        finally:
            other.kill()
