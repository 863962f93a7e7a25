"""Probed functions in processes that join a trace: forks, programs they execute, libraries loaded late.

A file nobody else uses is probed for all that map it, from their first call; one that a stranger uses, process by
process.
"""

import contextlib
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
    "import ctypes, sys\nlibrary = ctypes.CDLL(sys.argv[1])\nprint('loaded', flush=True)\nsys.stdin.readline()\n"
    "for _ in range(int(sys.argv[2])): library.tern_conv(1)\n"
)
_STRANGER = (
    "import ctypes, os, sys\nctypes.CDLL(sys.argv[1])\n"
    "os.write(int(sys.argv[2]), b'x')\nos.read(int(sys.argv[3]), 1)\n"
)
_EVERYBODY = 0


def _build(folder, name="ternary-0123.so"):
    command = ["cc", "-O2", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-o", folder / name]
    subprocess.run([*command, _NATIVE / "operators.c"], check=True)
    return str(folder / name)


def _probed(pid, path):
    """Whether functions of a file are probed in a process (0: all), by the kernel's account of links."""
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


@contextlib.contextmanager
def _stranger(path):
    """Keep a process that uses a library, and that is nobody's child here."""
    says, said = os.pipe()
    waits, ends = os.pipe()
    numbers = (str(said), str(waits))
    command = ["sh", "-c", '"$0" "$@" &', sys.executable, "-c", _STRANGER, path, *numbers]
    subprocess.run(command, check=True, pass_fds=(said, waits))
    os.close(said)
    os.close(waits)
    try:
        assert os.read(says, 1) == b"x"
        yield
    finally:
        os.close(says)
        os.close(ends)


def _missing(recorded, path):
    return [note for note in recorded.meta.notes if Path(path).name in note]


def test_every_call_of_a_forked_child_is_counted(tmp_path):
    path = _build(tmp_path)
    library = ctypes.CDLL(path)
    with trace.session(("operators",), tier="bpf") as recorder:
        child = os.fork()
        if child == 0:
            for _ in range(_EVENTS):
                library.tern_conv(1)
            os._exit(0)
        library.tern_conv(1)
        assert os.waitpid(child, 0)[1] == 0
    assert _counts(recorder.trace) == {os.getpid(): 1, child: _EVENTS}
    assert _missing(recorder.trace, path) == []


def test_of_a_library_a_stranger_uses_what_is_missing_is_said(tmp_path):
    path = _build(tmp_path)
    library = ctypes.CDLL(path)
    reads, writes = os.pipe()
    with _stranger(path), trace.session(("operators",), tier="bpf") as recorder:
        child = os.fork()
        if child == 0:
            os.close(writes)
            os.read(reads, 1)
            for _ in range(_EVENTS):
                library.tern_conv(1)
            os._exit(0)
        _until_probed(child, path)
        assert not _probed(_EVERYBODY, path)
        os.write(writes, b"x")
        assert os.waitpid(child, 0)[1] == 0
    os.close(reads)
    os.close(writes)
    assert _counts(recorder.trace) == {child: _EVENTS}
    (note,) = _missing(recorder.trace, path)
    assert re.fullmatch(rf"calls of \S+ are missing: the first [\d.]+ s in process {child}, before .*", note)


@pytest.mark.parametrize("known", [True, False], ids=["loaded here too", "loaded there alone"])
def test_every_call_of_a_program_begun_meanwhile_is_counted(tmp_path, known):
    path = _build(tmp_path)
    if known:
        ctypes.CDLL(path)
    with trace.session(("operators",), tier="bpf") as recorder:
        command = [sys.executable, "-c", _PROGRAM, path, str(_EVENTS)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not known:  # nobody could know of it before
            assert process.stdout.readline() == "loaded\n"
            _until_probed(_EVERYBODY, path)
        process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert _counts(recorder.trace) == {process.pid: _EVENTS}
    assert len(_missing(recorder.trace, path)) == (not known)


def test_a_library_loaded_during_the_trace_is_probed(tmp_path):
    path = _build(tmp_path)
    with trace.session(("operators",), tier="bpf") as recorder:
        library = ctypes.CDLL(path)
        _until_probed(_EVERYBODY, path)
        for _ in range(_EVENTS):
            library.tern_conv(1)
    assert _counts(recorder.trace) == {os.getpid(): _EVENTS}
    (note,) = _missing(recorder.trace, path)
    assert f"in process {os.getpid()}, before it was probed" in note
