"""A policy on real files, programs and sockets: what is not allowed is listed; enforced, it does not happen."""

import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from workbench import trace
from workbench.errors import InputError

pytestmark = pytest.mark.bpf

_FAMILIES = pytest.mark.parametrize(
    ("family", "host", "shown"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
)


@pytest.fixture
def listeners(family, host):
    """Two servers on loopback: the policy will allow the first."""
    socks = [socket.socket(family) for _ in range(2)]
    for sock in socks:
        sock.bind((host, 0))
        sock.listen()
    yield [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()


def _policy(tmp_path, text):
    path = tmp_path / "policy.toml"
    path.write_text(textwrap.dedent(text))
    return path


def _forbidden_connect(family, address):
    with socket.socket(family) as sock:
        return sock.connect_ex(address)


@_FAMILIES
def test_a_connect_that_is_not_allowed_is_listed(tmp_path, family, host, shown, listeners):
    good, bad = listeners
    path = _policy(tmp_path, f'[hosts]\nallow = ["{shown}:{good}"]')
    with trace.session(("audit",), tier="bpf", policy=path) as recorder:
        assert [_forbidden_connect(family, (host, port)) for port in (good, bad)] == [0, 0]
    rows = {row.target: row for row in recorder.trace.audit if row.action == "connect"}
    assert (rows[f"{shown}:{good}"].verdict, rows[f"{shown}:{bad}"].verdict) == ("allowed", "violation")
    assert rows[f"{shown}:{bad}"].rule == "not in [hosts] allow"
    names = {frame.name for frame in recorder.trace.stack(rows[f"{shown}:{bad}"])}
    assert "_forbidden_connect" in names


@_FAMILIES
def test_an_enforced_policy_refuses_it(tmp_path, family, host, shown, listeners):
    good, bad = listeners
    path = _policy(tmp_path, f'[hosts]\nallow = ["{shown}:{good}"]')
    with trace.session(("audit",), policy=path, enforce=True) as recorder:
        during = [_forbidden_connect(family, (host, port)) for port in (good, bad)]
        with socket.socket(family, socket.SOCK_DGRAM) as sock, pytest.raises(PermissionError):
            sock.sendto(b"secret", (host, bad))
    after = _forbidden_connect(family, (host, bad))
    assert during == [0, 1]  # EPERM
    assert after == 0
    verdicts = {
        (row.action, row.target): row.verdict for row in recorder.trace.audit if row.verdict != "allowed"
    }
    assert verdicts == {("connect", f"{shown}:{bad}"): "denied", ("send", f"{shown}:{bad}"): "denied"}


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1")])
def test_children_are_held_to_it_and_strangers_are_not(tmp_path, family, host, listeners):
    _, bad = listeners
    connect = f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {bad})))"
    path = _policy(tmp_path, '[hosts]\nallow = ["192.0.2.0/24"]')
    stranger = subprocess.Popen(
        [sys.executable, "-c", f"input()\n{connect}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    traced = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"input()\nimport subprocess,sys\nsubprocess.run([sys.executable,'-c',{connect!r}])",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with trace.session(("audit",), policy=path, enforce=True, pid=traced.pid):
        said = [process.communicate("\n")[0].strip() for process in (stranger, traced)]
    assert said == ["0", "1"]


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1")])
def test_who_was_refused_can_be_stopped(tmp_path, family, host, listeners):
    _, bad = listeners
    path = _policy(tmp_path, '[hosts]\nallow = []\n[enforce]\nsignal = "SIGKILL"')
    script = f"input()\nimport socket, time\nsocket.socket().connect_ex(('127.0.0.1', {bad}))\ntime.sleep(30)"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, text=True) as process:
        with trace.session(("audit",), policy=path, enforce=True, pid=process.pid) as recorder:
            process.communicate("\n")
        assert process.returncode == -signal.SIGKILL
    assert [row.verdict for row in recorder.trace.audit if row.action == "connect"] == ["stopped"]


def test_paths_programs_and_system_calls(tmp_path):
    (tmp_path / "secret").write_text("x")
    path = _policy(
        tmp_path,
        f"""
        [paths]
        allow = ["/usr/*", "/lib/*", "/etc/*", "{tmp_path}/*", "/dev/*", "/root/*", "/proc/*"]
        write = ["/dev/null"]
        deny = ["{tmp_path}/secret"]
        [programs]
        allow = ["/bin/cat"]
        [syscalls]
        deny = ["getppid"]
        """,
    )

    def planted():
        (tmp_path / "secret").read_text()
        (tmp_path / "out").write_text("x")
        subprocess.run(["/bin/true"], check=True)
        subprocess.run(["/bin/cat", "/etc/hostname"], check=True, stdout=subprocess.DEVNULL)
        for _ in range(1009):
            os.getppid()

    with trace.session(("audit",), tier="bpf", policy=path) as recorder:
        planted()
    found = [row for row in recorder.trace.audit if row.verdict == "violation"]
    shown = {(row.action, row.target): row.rule for row in found if row.pid == os.getpid()}
    assert shown == {
        ("open", f"{tmp_path}/secret"): f"[paths] deny {tmp_path}/secret",
        ("open", f"{tmp_path}/out"): "not in [paths] write",
        ("syscall", "getppid"): "[syscalls] deny getppid",
    }
    assert sum(row.target == "getppid" for row in found) == 1009
    assert ("exec", "/bin/true") in {(row.action, row.target) for row in found}
    assert ("exec", "/bin/cat") not in {(row.action, row.target) for row in found}
    for row in found:
        if row.pid == os.getpid():
            assert "planted" in {frame.name.rpartition(".")[2] for frame in recorder.trace.stack(row)}


def test_nothing_to_enforce_is_said(tmp_path):
    with pytest.raises(InputError, match="nothing to enforce"):
        trace.session(policy=_policy(tmp_path, "[paths]\nallow = []"), enforce=True)
    with pytest.raises(InputError, match="nothing to enforce"):
        trace.session(enforce=True)
