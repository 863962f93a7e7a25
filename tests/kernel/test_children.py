"""Probed functions in processes that join a trace: forks, programs they execute, libraries loaded late."""

import ctypes
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workbench import trace
from workbench.trace import client

pytestmark = pytest.mark.bpf

_EVENTS = 1009
_NATIVE = Path(__file__).parent / "native"
_PROGRAM = (
    "import ctypes, sys\nsys.stdin.readline()\nlibrary = ctypes.CDLL(sys.argv[1])\n"
    "print('loaded', flush=True)\nsys.stdin.readline()\n"
    "for _ in range(int(sys.argv[2])): library.tern_conv(1)\n"
)


def _build(folder, name="ternary-0123.so"):
    command = ["cc", "-O2", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-o", folder / name]
    subprocess.run([*command, _NATIVE / "operators.c"], check=True)
    return str(folder / name)


def _probed(pid, path):
    """Whether the collector has probed functions of a file in a process, by the kernel's account of its links."""
    for handle in Path(f"/proc/{client.private_pid()}/fdinfo").iterdir():
        try:
            said = handle.read_text()
        except OSError:
            continue
        if path in said and int(re.search(r"\bpid:\s+(\d+)", said)[1]) == pid:
            return True
    return False


def _until_probed(pid, path):
    end = time.monotonic() + 60
    while not _probed(pid, path):
        assert time.monotonic() < end, "the process was not probed"
        time.sleep(0.02)


def _counts(recorded):
    return {row.pid: row.latency.count for row in recorded.operators if row.name == "tern_conv"}


def test_every_call_of_a_forked_child_is_counted(tmp_path):
    path = _build(tmp_path)
    library = ctypes.CDLL(path)
    reads, writes = os.pipe()
    with trace.session(("operators",), tier="bpf") as recorder:
        child = os.fork()
        if child == 0:
            os.read(reads, 1)
            for _ in range(_EVENTS):
                library.tern_conv(1)
            os._exit(0)
        _until_probed(child, path)
        library.tern_conv(1)
        os.write(writes, b"x")
        assert os.waitpid(child, 0)[1] == 0
    os.close(reads)
    os.close(writes)
    assert _counts(recorder.trace) == {os.getpid(): 1, child: _EVENTS}


@pytest.mark.parametrize("known", [True, False], ids=["loaded here too", "loaded there alone"])
def test_every_call_of_a_program_begun_meanwhile_is_counted(tmp_path, known):
    path = _build(tmp_path)
    if known:
        ctypes.CDLL(path)
    with trace.session(("operators",), tier="bpf") as recorder:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, path, str(_EVENTS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if known:  # probed before it loads the library
            _until_probed(process.pid, path)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "loaded\n"
        _until_probed(process.pid, path)
        process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert _counts(recorder.trace) == {process.pid: _EVENTS}


def test_a_library_loaded_during_the_trace_is_probed(tmp_path):
    path = _build(tmp_path)
    with trace.session(("operators",), tier="bpf") as recorder:
        library = ctypes.CDLL(path)
        _until_probed(os.getpid(), path)
        for _ in range(_EVENTS):
            library.tern_conv(1)
    assert _counts(recorder.trace) == {os.getpid(): _EVENTS}
