"""The audit sees what a process tree does with files, peers and programs, by number."""

import os
import socket
import subprocess
import sys
from collections import Counter

import pytest

from workbench import trace

pytestmark = pytest.mark.bpf

_EVENTS = 1009


def _audited(work):
    with trace.session(("audit",), tier="bpf") as recorder:
        work()
    assert recorder.trace.meta.lost == {}
    return recorder.trace


def _count(recorded):
    return Counter((row.action, row.target, row.error) for row in recorded.audit)


def _open_often():
    for _ in range(_EVENTS):
        with open("/etc/hostname"):
            pass


def test_every_open_is_seen_with_its_line():
    recorded = _audited(_open_often)
    rows = [row for row in recorded.audit if row.target == "/etc/hostname"]
    assert len(rows) == _EVENTS
    assert {(row.pid, row.tid, row.parent, row.action) for row in rows} == {
        (os.getpid(), os.getpid(), os.getppid(), "open")
    }
    frames = {frame for row in rows for frame in recorded.stack(row) if frame.name == "_open_often"}
    assert {frame.text for frame in frames} == {'with open("/etc/hostname"):'}


def test_failed_and_relative_opens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def work():
        for name in ("not/there", "/nor/this"):
            with pytest.raises(FileNotFoundError):
                os.open(name, os.O_RDONLY)

    counts = _count(_audited(work))
    assert counts["open", f"{tmp_path}/not/there", 2] == 1
    assert counts["open", "/nor/this", 2] == 1


@pytest.mark.parametrize(
    ("family", "host", "shown"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
)
def test_every_connect_and_send_is_seen(family, host, shown):
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        port = listener.getsockname()[1]

        def work():
            with socket.create_connection((host, port)) as sock:
                for _ in range(_EVENTS):
                    sock.send(b"0123456789")
                sock.sendmsg([b"ab", b"c"])
                os.write(sock.fileno(), b"plain write")

        recorded = _audited(work)
    address = f"{shown}:{port}"
    assert _count(recorded)["connect", address, 0] == 1
    sent = [row.bytes for row in recorded.audit if (row.action, row.target) == ("send", address)]
    assert sent == [10] * _EVENTS + [3, 11]


def test_every_refused_connect_is_seen():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = unused.getsockname()

    def work():
        for _ in range(_EVENTS):
            with socket.socket() as sock:
                sock.connect_ex(address)

    assert _count(_audited(work))["connect", f"127.0.0.1:{address[1]}", 111] == _EVENTS


def test_datagrams_and_local_sockets(tmp_path):
    path = str(tmp_path / "s")

    def work():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"hello", ("127.0.0.1", 9))
        with socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
            sock.connect(path)

    counts = _count(_audited(work))
    assert counts["send", "127.0.0.1:9", 0] == 1
    assert counts["connect", f"unix:{path}", 2] == 1


def _run_often():
    for _ in range(_EVENTS):
        subprocess.run(["/bin/true"], check=True)


def test_every_program_is_seen_with_the_line_that_started_it():
    recorded = _audited(_run_often)
    rows = [row for row in recorded.audit if (row.action, row.target) == ("exec", "/bin/true")]
    assert len(rows) == _EVENTS
    assert {row.parent for row in rows} == {os.getpid()}
    assert all("_run_often" in {frame.name for frame in recorded.stack(row)} for row in rows)


def test_children_of_children_are_audited():
    script = "import subprocess; subprocess.run(['/bin/cat', '/etc/hostname'], check=True)"

    def work():
        subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)

    rows = _audited(work).audit
    (child,) = {row.pid for row in rows if row.action == "exec" and row.parent == os.getpid()}
    (grandchild,) = {row.pid for row in rows if row.action == "exec" and row.parent == child}
    assert ("open", "/etc/hostname") in {(row.action, row.target) for row in rows if row.pid == grandchild}
