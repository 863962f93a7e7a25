"""Clients of the collector that ask for too much, too often, or for what is not theirs."""

import json
import os
import socket
import time
from pathlib import Path

import pytest

from tests.kernel.asking import answer_of, as_nobody, dial, holds, program_count, request, status_of, until
from workbench.trace import client, wire

pytestmark = pytest.mark.bpf


def _said(sock):
    """Return what the collector says next, records aside."""
    while (said := sock.recv(100_000))[:1] != wire.CONTROL:
        pass
    return json.loads(said[1:])


def test_a_slow_client_loses_records_not_the_collector(service):
    path, collector = service
    slow = dial(path)
    slow.send(request(probes=["cpu", "faults"], hz=9999))
    assert answer_of(slow)["event"] == "started"
    for _ in range(30):
        bytearray(30_000_000)  # page faults by the thousand
    end = time.thread_time() + 0.5
    while time.thread_time() < end:
        pass
    fast = dial(path)
    fast.send(request())
    assert answer_of(fast)["event"] == "started"
    assert int(status_of(collector.pid)["VmRSS"].split()[0]) < 40_000
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
    sock = dial(path)
    sock.send(request(hz=9999))
    end = time.thread_time() + 0.5
    while time.thread_time() < end:
        pass
    sock.close()
    assert until(lambda: program_count(collector.pid) == 0)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"[]", "exactly the fields"),
        (request(extra=1), "exactly the fields"),
        (request(version=1), "protocol 1"),
        (request(probes="cpu"), "not a list of names"),
        (request(probes=["shell"]), "no probe is called 'shell'"),
        (request(probes=[]), "no probe given"),
        (request(hz=0), "hz is 0"),
        (request(hz=True), "hz is True"),
        (request(hz=10**9), "hz is 1000000000"),
        (request(pid=-1), "pid is -1"),
        (request(pid=1), "not yours to trace"),
        (request(python=[1, 2]), "not an address"),
        (request(python=[2**64] + [0] * 12), "out of range"),
        (request(python=[4096] + [2**31] * 12), "out of range"),
        (request(watch=[512]), "watch is not a list"),
        (request(heap_sample=-1), "heap_sample is -1"),
        (request(enforce=[0]), "enforce is not a signal"),
        (request(enforce=[99, []]), "no such signal"),
        (request(enforce=[0, [["zz", 0, 0, 0]]]), "out of range"),
        (request(enforce=[0, [["00" * 16, 129, 0, 0]]]), "out of range"),
        (request(enforce=[0, [["00" * 16, 0, 0, 0]]]), "does not refuse connects"),
        (b"x" * (wire.REQUEST_BYTES + 1), "at most 131,072 bytes"),
    ],
)
def test_a_bad_request_is_refused(service, message, said):
    path, collector = service
    with dial(path) as sock:
        sock.send(message)
        answer = answer_of(sock)
        assert answer["event"] == "error"
        assert said in answer["error"]["what"]
        assert sock.recv(10) == b""
    assert program_count(collector.pid) == 0


def site_of(probe="usdt", program="handle_point", file=0, offsets=(4096,), cookies=(0,), counters=()):
    return [probe, program, file, list(offsets), list(cookies), list(counters)]


@pytest.mark.parametrize(
    ("site", "said"),
    [
        (site_of(offsets=[1 << 40]), "not in code that process"),
        (site_of(offsets=[0]), "not in code that process"),  # the ELF header: mapped, but not as code
        (site_of(counters=[1 << 40]), "not in code that process"),
        (site_of(file=1), "did not come with the request"),
        (site_of(file=-1), "names no file"),
        (site_of(program="handle_cpu"), "no program 'handle_cpu' for functions"),
        (site_of(probe="cpu"), "no program"),
        (site_of(probe=["usdt"]), "no program"),
        (site_of(offsets=[-1]), "out of range"),
        (site_of(offsets=[1.5]), "out of range"),
        (site_of(cookies=[1, 2]), "differ in number"),
        (site_of(offsets=[], cookies=[]), "names no file or no offset"),
        (site_of(offsets=[4096] * 9000, cookies=[0] * 9000), "more than 8,192 sites"),
        (site_of()[:5], "exactly six parts"),
    ],
)
def test_a_site_outside_the_code_of_the_process_is_refused(service, site, said):
    path, collector = service
    libc = next(
        line.split()[5] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line
    )
    with dial(path) as sock, open(libc, "rb") as file:
        socket.send_fds(sock, [request(probes=["usdt"], sites=[site])], [file.fileno()])
        answer = answer_of(sock)
    assert answer["event"] == "error"
    assert said in answer["error"]["what"]
    assert program_count(collector.pid) == 0
    assert until(lambda: not holds(collector.pid, libc))


def test_a_file_nobody_mapped_or_that_is_none_is_refused(service, tmp_path):
    path, _ = service
    stranger = tmp_path / "library.so"
    stranger.write_bytes(b"\x7fELF" + b"\x90" * 8192)
    ends = socket.socketpair()
    with stranger.open("rb") as file:
        for handle in (file.fileno(), ends[0].fileno()):
            with dial(path) as sock:
                socket.send_fds(sock, [request(probes=["usdt"], sites=[site_of()])], [handle])
                assert answer_of(sock)["event"] == "error"
    for end in ends:
        end.close()


def test_too_many_sessions_are_refused(service):
    path, _ = service
    socks = [dial(path) for _ in range(5)]
    for sock in socks:
        sock.send(request(probes=["syscalls"]))
    answers = [answer_of(sock) for sock in socks]
    assert [answer["event"] for answer in answers] == ["started"] * 4 + ["error"]
    assert "too many tracing sessions" in answers[4]["error"]["what"]
    for sock in socks:
        sock.close()


def test_endless_requests_are_cut_off(service):
    path, _ = service
    said = []
    for _ in range(130):
        with dial(path) as sock:
            sock.send(b"[]")
            said.append(answer_of(sock)["error"]["what"])
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
    assert until(lambda: len(list(Path(f"/proc/{collector.pid}/fd").iterdir())) < 50)
    for sock in socks:
        sock.close()
    assert until(lambda: len(list(Path(f"/proc/{collector.pid}/fd").iterdir())) < 20)
    with dial(path) as sock:
        sock.send(request())
        assert answer_of(sock)["event"] == "started"


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
    with dial(path) as sock:
        sock.send(request())
        assert answer_of(sock)["event"] == "started"
        sock.send(message)
        assert _said(sock)["event"] == "error"
    assert until(lambda: program_count(collector.pid) == 0)


@pytest.mark.parametrize(
    ("site", "mine"),
    [
        (site_of(offsets=[1 << 40]), True),
        (site_of(), False),
        (site_of(probe="alloc", program="handle_new"), True),
    ],
    ids=["no code", "another user's process", "a probe not asked for"],
)
def test_functions_that_may_not_join_are_not_probed(service, site, mine):
    """Neither breaks the trace of a client that asks in good faith (the process changed), nor is attached."""
    path, collector = service
    libc = next(
        line.split()[5] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line
    )
    with dial(path) as sock, open(libc, "rb") as file:
        sock.send(request(probes=["usdt"]))
        assert answer_of(sock)["event"] == "started"
        before = program_count(collector.pid)
        process = os.pidfd_open(os.getpid() if mine else 1)
        message = json.dumps({"sites": [site]}).encode()
        socket.send_fds(sock, [message], [file.fileno(), process])
        os.close(process)
        refused = site[0] == "alloc"
        if not refused:
            assert _said(sock)["everywhere"] is None
            sock.send(wire.STOP)
        said = _said(sock)
        # Root may trace process 1, which maps another libc or none: refused for its code then.
        assert said["event"] == ("error" if refused else "end")
        assert program_count(collector.pid) <= before
    assert until(lambda: not holds(collector.pid, libc))
