"""The collector itself: what rights it has, whom it serves, what it leaves behind."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from workbench import trace
from workbench.errors import TraceError
from workbench.trace import client, wire
from workbench.trace.identity import is_descendant

pytestmark = pytest.mark.bpf


def _status(pid):
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


def _program_count(pid):
    """Programs and links the process holds open; the kernel frees both with the last holder."""
    count = 0
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(handle).startswith("anon_inode:bpf")
        except OSError:
            continue
    return count


def _until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def service():
    """A collector for everybody, on a socket of its own, in a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    path = folder / "collector.sock"
    process = subprocess.Popen([sys.executable, "-m", "workbench.trace.collector", "--socket", str(path)])
    try:
        assert _until(path.exists)
        yield path, process
        assert process.poll() is None, "the collector died"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def _dial(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(path))
    sock.settimeout(20)
    return sock


def _request(**changes):
    body = {"version": 4, "probes": ["cpu"], "hz": 99, "pid": 0, "skip_tid": 0, "python": [], "sites": []}
    body.update({"watch": [], "enforce": None, "heap_sample": 0})
    body.update(changes)
    return json.dumps(body).encode()


def _answer(sock):
    message = sock.recv(100_000)
    return json.loads(message[1:])


def test_rights_are_exactly_two():
    with trace.session(("cpu",), tier="bpf"):
        status = _status(client.private_pid())
    both = f"{(1 << 38) | (1 << 39):016x}"
    assert (status["CapEff"].strip(), status["CapPrm"].strip()) == (both, both)
    none = "0" * 16
    assert [status[name].strip() for name in ("CapInh", "CapBnd", "CapAmb")] == [none] * 3
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Uid"].split() == ["65534"] * 4
    assert status["Groups"].split() == []


def test_nothing_stays_after_a_session():
    with trace.session(tier="bpf"):
        pid = client.private_pid()
        assert _program_count(pid) > 10
    assert _until(lambda: _program_count(pid) == 0)


def test_it_ends_with_its_owner():
    script = textwrap.dedent(
        """
        from workbench import trace
        from workbench.trace import client
        import sys, time
        with trace.session(("cpu",), tier="bpf"):
            print(client.private_pid(), flush=True)
            time.sleep(60)
        """
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with owner:
        pid = int(owner.stdout.readline())
        assert _program_count(pid) > 0
        owner.kill()
    assert _until(lambda: not Path(f"/proc/{pid}").exists() or _status(pid)["State"].split()[0] == "Z")


def test_a_client_that_dies_leaves_nothing(service):
    path, collector = service
    script = (
        "import os, time\nfrom workbench import trace\nwith trace.session(tier='bpf'):\n"
        # A child that outlives its parent and holds the socket must not hold the programs.
        " child = os.fork()\n if child == 0: time.sleep(60); os._exit(0)\n print(child, flush=True)\n time.sleep(60)"
    )
    dying = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, client.SOCKET_VARIABLE: str(path)},
    )
    with dying:
        child = int(dying.stdout.readline())
        assert _program_count(collector.pid) > 10
        dying.kill()
    try:
        assert _until(lambda: _program_count(collector.pid) == 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_slow_client_loses_records_not_the_collector(service):
    path, collector = service
    slow = _dial(path)
    slow.send(_request(probes=["cpu", "faults"], hz=9999))
    assert _answer(slow)["event"] == "started"
    for _ in range(30):
        bytearray(30_000_000)  # page faults by the thousand
    end = time.thread_time() + 0.5
    while time.thread_time() < end:
        pass
    fast = _dial(path)
    fast.send(_request())
    assert _answer(fast)["event"] == "started"
    assert int(_status(collector.pid)["VmRSS"].split()[0]) < 40_000
    slow.send(wire.STOP)
    kinds = []
    while message := slow.recv(100_000):
        kinds.append(message[:1])
    assert kinds[-1] == wire.CONTROL
    assert wire.RECORDS in kinds
    fast.close()
    slow.close()


def test_a_client_that_reads_nothing_and_ends(service):
    path, collector = service
    sock = _dial(path)
    sock.send(_request(hz=9999))
    end = time.thread_time() + 0.5
    while time.thread_time() < end:
        pass
    sock.close()
    assert _until(lambda: _program_count(collector.pid) == 0)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"[]", "exactly the fields"),
        (_request(extra=1), "exactly the fields"),
        (_request(version=1), "protocol 1"),
        (_request(probes="cpu"), "not a list of names"),
        (_request(probes=["shell"]), "no probe is called 'shell'"),
        (_request(probes=[]), "no probe given"),
        (_request(hz=0), "hz is 0"),
        (_request(hz=True), "hz is True"),
        (_request(hz=10**9), "hz is 1000000000"),
        (_request(pid=-1), "pid is -1"),
        (_request(pid=1), "not yours to trace"),
        (_request(python=[1, 2]), "not an address"),
        (_request(python=[2**64] + [0] * 12), "out of range"),
        (_request(python=[4096] + [2**31] * 12), "out of range"),
        (_request(watch=[512]), "watch is not a list"),
        (_request(heap_sample=-1), "heap_sample is -1"),
        (_request(enforce=[0]), "enforce is not a signal"),
        (_request(enforce=[99, []]), "no such signal"),
        (_request(enforce=[0, [["zz", 0, 0, 0]]]), "out of range"),
        (_request(enforce=[0, [["00" * 16, 129, 0, 0]]]), "out of range"),
        (_request(enforce=[0, [["00" * 16, 0, 0, 0]]]), "does not refuse connects"),
        (b"x" * (wire.REQUEST_BYTES + 1), "at most 131,072 bytes"),
    ],
)
def test_a_bad_request_is_refused(service, message, said):
    path, collector = service
    with _dial(path) as sock:
        sock.send(message)
        answer = _answer(sock)
        assert answer["event"] == "error"
        assert said in answer["error"]["what"]
        assert sock.recv(10) == b""
    assert _program_count(collector.pid) == 0


def _site(probe="usdt", program="handle_point", file=0, offsets=(4096,), cookies=(0,), counters=()):
    return [probe, program, file, list(offsets), list(cookies), list(counters)]


@pytest.mark.parametrize(
    ("site", "said"),
    [
        (_site(offsets=[1 << 40]), "not in code that process"),
        (_site(offsets=[0]), "not in code that process"),  # the ELF header: mapped, but not as code
        (_site(counters=[1 << 40]), "not in code that process"),
        (_site(file=1), "did not come with the request"),
        (_site(file=-1), "names no file"),
        (_site(program="handle_cpu"), "no program 'handle_cpu' for functions"),
        (_site(probe="cpu"), "no program"),
        (_site(probe=["usdt"]), "no program"),
        (_site(offsets=[-1]), "out of range"),
        (_site(offsets=[1.5]), "out of range"),
        (_site(cookies=[1, 2]), "differ in number"),
        (_site(offsets=[], cookies=[]), "names no file or no offset"),
        (_site(offsets=[4096] * 9000, cookies=[0] * 9000), "more than 8,192 sites"),
        (_site()[:5], "exactly six parts"),
    ],
)
def test_a_site_outside_the_code_of_the_process_is_refused(service, site, said):
    path, collector = service
    libc = next(
        line.split()[5] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line
    )
    with _dial(path) as sock, open(libc, "rb") as file:
        socket.send_fds(sock, [_request(probes=["usdt"], sites=[site])], [file.fileno()])
        answer = _answer(sock)
    assert answer["event"] == "error"
    assert said in answer["error"]["what"]
    assert _program_count(collector.pid) == 0
    assert _until(lambda: not _holds(collector.pid, libc))


def test_a_file_nobody_mapped_or_that_is_none_is_refused(service, tmp_path):
    path, _ = service
    stranger = tmp_path / "library.so"
    stranger.write_bytes(b"\x7fELF" + b"\x90" * 8192)
    ends = socket.socketpair()
    with stranger.open("rb") as file:
        for handle in (file.fileno(), ends[0].fileno()):
            with _dial(path) as sock:
                socket.send_fds(sock, [_request(probes=["usdt"], sites=[_site()])], [handle])
                assert _answer(sock)["event"] == "error"
    for end in ends:
        end.close()


def _holds(pid, file):
    """Whether a process holds a file open."""
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed while we looked
            if handle.readlink() == Path(file):
                return True
    return False


def test_too_many_sessions_are_refused(service):
    path, _ = service
    socks = [_dial(path) for _ in range(5)]
    for sock in socks:
        sock.send(_request(probes=["syscalls"]))
    answers = [_answer(sock) for sock in socks]
    assert [answer["event"] for answer in answers] == ["started"] * 4 + ["error"]
    assert "too many tracing sessions" in answers[4]["error"]["what"]
    for sock in socks:
        sock.close()


def test_endless_requests_are_cut_off(service):
    path, _ = service
    said = []
    for _ in range(130):
        with _dial(path) as sock:
            sock.send(b"[]")
            said.append(_answer(sock)["error"]["what"])
    assert all("exactly the fields" in text for text in said[:120])
    assert all("more than 120 sessions in 30 s" in text for text in said[120:])


def test_endless_connects_are_cut_off(service):
    path, collector = service
    socks = []
    for _ in range(60):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(str(path))
        socks.append(sock)
    # 16 clients of a user, two handles each, and its own ten or so.
    assert _until(lambda: len(list(Path(f"/proc/{collector.pid}/fd").iterdir())) < 50)
    for sock in socks:
        sock.close()
    assert _until(lambda: len(list(Path(f"/proc/{collector.pid}/fd").iterdir())) < 20)
    with _dial(path) as sock:
        sock.send(_request())
        assert _answer(sock)["event"] == "started"


def test_the_collector_that_ends_mid_trace_is_an_error_not_a_hang(service, monkeypatch):
    path, _ = service
    other = subprocess.Popen([sys.executable, "-m", "workbench.trace.collector", "--socket", f"{path}2"])
    assert _until(Path(f"{path}2").exists)
    monkeypatch.setenv(client.SOCKET_VARIABLE, f"{path}2")
    recorder = trace.session(("cpu",), tier="bpf")
    recorder.__enter__()
    other.kill()
    other.wait()
    with pytest.raises(TraceError, match="the collector ended during the trace"):
        recorder.__exit__(None, None, None)


def test_unprivileged_users_are_served_by_a_running_collector(service):
    path, _ = service
    script = (
        "import os\nfrom workbench import trace\n"
        "with trace.session(('syscalls',), tier='bpf') as r:\n  for _ in range(1009): os.getppid()\n"
        "print(os.getuid(), [c.latency.count for c in r.trace.calls if c.name == 'getppid'])"
    )
    out = as_nobody(script, {client.SOCKET_VARIABLE: str(path)})
    assert out.strip() == "65534 [1009]"


def test_another_users_process_is_refused(service):
    path, _ = service
    script = (
        "from workbench import trace\nfrom workbench.errors import NoPrivilege\n"
        "try: trace.session(('cpu',), tier='bpf', pid=1).__enter__()\n"
        "except NoPrivilege as error: print(error.what)"
    )
    assert as_nobody(script, {client.SOCKET_VARIABLE: str(path)}) == "process 1 is not yours to trace\n"


@pytest.mark.parametrize(
    "message",
    [
        b"hello",
        b"[]",
        b'{"pid": 1}',
        b'{"pid": 0, "python": [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}',
        b'{"pid": 1, "python": []}',
        b'{"pid": 1, "python": [1, 2]}',
        b'{"sites": []}',  # without a handle of the process that joins
        b'{"sites": [[]]}',
    ],
)
def test_a_bad_message_during_a_trace_ends_it(service, message):
    path, collector = service
    with _dial(path) as sock:
        sock.send(_request())
        assert _answer(sock)["event"] == "started"
        sock.send(message)
        while (said := sock.recv(100_000))[:1] != wire.CONTROL:
            pass
        assert json.loads(said[1:])["event"] == "error"
    assert _until(lambda: _program_count(collector.pid) == 0)


@pytest.mark.parametrize(
    ("site", "mine"),
    [(_site(offsets=[1 << 40]), True), (_site(), False), (_site(probe="alloc", program="handle_new"), True)],
    ids=["no code", "another user's process", "a probe not asked for"],
)
def test_functions_that_may_not_join_are_not_probed(service, site, mine):
    """Neither breaks the trace of a client that asks in good faith (the process changed), nor is attached."""
    path, collector = service
    libc = next(
        line.split()[5] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line
    )
    with _dial(path) as sock, open(libc, "rb") as file:
        sock.send(_request(probes=["usdt"]))
        assert _answer(sock)["event"] == "started"
        before = _program_count(collector.pid)
        process = os.pidfd_open(os.getpid() if mine else 1)
        message = json.dumps({"sites": [site]}).encode()
        socket.send_fds(sock, [message], [file.fileno(), process])
        os.close(process)
        refused = site[0] == "alloc"
        if not refused:
            sock.send(wire.STOP)
        while (said := sock.recv(100_000))[:1] != wire.CONTROL:
            pass
        # Root may trace process 1, which maps another libc or none: refused for its code then.
        assert json.loads(said[1:])["event"] == ("error" if refused else "end")
        assert _program_count(collector.pid) <= before
    assert _until(lambda: not _holds(collector.pid, libc))


def test_without_rights_the_next_tier_runs_and_says_why():
    script = (
        "import time\nfrom workbench import trace\nfrom workbench.errors import NoPrivilege\n"
        "with trace.session() as r:\n  e = time.thread_time() + 0.3\n  while time.thread_time() < e: sum(range(500))\n"
        "print(r.trace.meta.tier, '|', *r.trace.meta.reasons, '|', round(r.trace.total('cpu'), 1))\n"
        "try: trace.session(tier='bpf').__enter__()\n"
        "except NoPrivilege as error: print(error)\n"
    )
    out = as_nobody(script, {client.SOCKET_VARIABLE: "/nonexistent"}).splitlines()
    tier, reason, seconds = (part.strip() for part in out[0].split("|"))
    assert tier == "perf", reason
    assert "no collector at /nonexistent (No such file or directory)" in reason
    assert "uid 65534 lacks CAP_BPF and CAP_PERFMON" in reason
    assert 0.1 <= float(seconds) <= 0.5  # user mode only, on a machine with other work
    assert "no collector" in out[1]
    assert "next:  as root: mlops collector start" in "\n".join(out)


def test_descendants():
    child = subprocess.Popen(["sleep", "20"])
    try:
        assert is_descendant(child.pid, os.getpid())
        assert not is_descendant(os.getpid(), child.pid)
        assert not is_descendant(os.getppid(), os.getpid())
    finally:
        child.kill()
        child.wait()


def as_nobody(script, environment):
    """Run a script as a user without rights; our own interpreter, which may lie where that user cannot look.

    So the new process gives up its rights itself, after Python has started and our modules are imported.
    """
    drop = (
        "import sys, os, numpy\nfrom workbench import trace\n"
        "import workbench.trace.tiers.bpf, workbench.trace.tiers.perf, workbench.trace.tiers.sampler\n"
        "import workbench.trace.bcc.probe, workbench.trace.service\n"
        "from workbench.trace.client import private_pid\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        # A new user id makes the process undumpable, which closes /proc/self/mem; exec would undo it.
        "import ctypes; ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", drop + script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
