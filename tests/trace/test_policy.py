import errno
import os
import signal

import pytest

from workbench.errors import InputError
from workbench.trace.policy import Policy
from workbench.trace.rows import AuditEvent


def _policy(tmp_path, text):
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return Policy.load(path)


def _event(action, target, amount=0, error=0):
    return AuditEvent(0, 1, 1, 1, action, target, amount, error)


@pytest.mark.parametrize(
    ("hosts", "target", "verdict"),
    [
        (["127.0.0.1"], "127.0.0.1:80", "allowed"),
        (["127.0.0.1:80"], "127.0.0.1:81", "violation"),
        (["10.0.0.0/8:400-500"], "10.9.8.7:443", "allowed"),
        (["10.0.0.0/8:400-500"], "11.9.8.7:443", "violation"),
        (["[::1]:8000"], "[::1]:8000", "allowed"),
        (["[fd00::/8]"], "[fd00::1]:1", "allowed"),
        (["fd00::/8"], "[fe80::1]:1", "violation"),
        (["127.0.0.1"], "[::ffff:127.0.0.1]:80", "allowed"),
        (["localhost:80"], "127.0.0.1:80", "allowed"),
        ([], "127.0.0.1:80", "violation"),
        ([], "unix:/run/x", "allowed"),
        ([], "netlink", "allowed"),
    ],
)
def test_hosts(tmp_path, hosts, target, verdict):
    policy = _policy(tmp_path, f"[hosts]\nallow = {hosts!r}")
    assert policy.judge(_event("connect", target))[0] == verdict
    assert policy.judge(_event("send", target))[0] == verdict


def test_no_hosts_section_allows_every_peer(tmp_path):
    assert _policy(tmp_path, "").judge(_event("connect", "192.0.2.1:1")) == ("allowed", "")


def test_refused_is_denied_or_stopped(tmp_path):
    event = _event("connect", "192.0.2.1:1", error=errno.EPERM)
    policy = _policy(tmp_path, "[hosts]\nallow = []")
    assert [policy.judge(event, enforced=on)[0] for on in (False, True)] == ["violation", "denied"]
    stopping = _policy(tmp_path, '[hosts]\nallow = []\n[enforce]\nsignal = "SIGTERM"')
    assert stopping.signal == signal.SIGTERM
    assert stopping.judge(event, enforced=True)[0] == "stopped"


@pytest.mark.parametrize(
    ("target", "flags", "error", "expected"),
    [
        ("/data/a/b", os.O_RDONLY, 0, ("allowed", "[paths] allow /data/*")),
        ("/data/secret/x", os.O_RDONLY, 0, ("violation", "[paths] deny /data/secret/*")),
        ("/data/a", os.O_WRONLY, 0, ("violation", "not in [paths] write")),
        ("/tmp/a", os.O_RDWR | os.O_CREAT, 0, ("allowed", "[paths] write /tmp/*")),
        ("/etc/passwd", os.O_RDONLY, errno.EACCES, ("violation", "not in [paths] allow")),
        ("/etc/passwd", os.O_RDONLY, errno.ENOENT, ("allowed", "does not exist")),
    ],
)
def test_paths(tmp_path, target, flags, error, expected):
    policy = _policy(tmp_path, '[paths]\nallow = ["/data/*"]\nwrite = ["/tmp/*"]\ndeny = ["/data/secret/*"]')
    assert policy.judge(_event("open", target, flags, error)) == expected


def test_programs_and_system_calls(tmp_path):
    policy = _policy(
        tmp_path, '[programs]\nallow = ["/usr/bin/*"]\ndeny = ["/usr/bin/nc"]\n[syscalls]\ndeny = ["ptrace"]'
    )
    verdicts = [policy.judge(_event("exec", path))[0] for path in ("/usr/bin/ls", "/usr/bin/nc", "/tmp/x")]
    assert verdicts == ["allowed", "violation", "violation"]
    assert len(policy.watched()) == 1
    allowing = _policy(tmp_path, '[syscalls]\nallow = ["read", "write"]')
    assert len(allowing.watched()) > 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[paths", "cannot be read"),
        ("[files]\nallow = []", "no section 'files'"),
        ("paths = 1", "no section 'paths'"),
        ("[paths]\nread = []", "has no 'read'"),
        ("[paths]\nallow = 'x'", "not a list of texts"),
        ("[hosts]\nallow = [1]", "not a list of texts"),
        ("[hosts]\nallow = ['10.0.0.1/99']", "is no address"),
        ("[hosts]\nallow = ['10.0.0.1:99999']", "is no address"),
        ("[hosts]\nallow = ['10.0.0.1:9-1']", "is no address"),
        ("[hosts]\nallow = ['no.such.host.invalid']", "cannot be looked up"),
        ("[syscalls]\ndeny = ['fly']", "no system call is called 'fly'"),
        ("[enforce]\nsignal = 'SIGFLY'", "is no signal"),
        (f"[hosts]\nallow = {['10.0.0.' + str(n) for n in range(70)]}", "at most 64"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        _policy(tmp_path, text)
    assert caught.value.where.endswith("policy.toml")


def test_a_missing_policy_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Policy.load(tmp_path / "none.toml")
