"""The collector's life: what rights it has, whom it serves, what it leaves behind."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.kernel.asking import as_nobody, program_count, status_of, until
from workbench import trace
from workbench.errors import TraceError
from workbench.trace import client

pytestmark = pytest.mark.bpf


def test_rights_are_exactly_two():
    with trace.session(("cpu",), tier="bpf"):
        status = status_of(client.private_pid())
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
        assert program_count(pid) > 10
    assert until(lambda: program_count(pid) == 0)


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
        assert program_count(pid) > 0
        owner.kill()
    assert until(lambda: not Path(f"/proc/{pid}").exists() or status_of(pid)["State"].split()[0] == "Z")


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
        assert program_count(collector.pid) > 10
        dying.kill()
    try:
        assert until(lambda: program_count(collector.pid) == 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_collector_that_ends_mid_trace_is_an_error_not_a_hang(service, monkeypatch):
    path, _ = service
    other = subprocess.Popen([sys.executable, "-m", "workbench.trace.collector", "--socket", f"{path}2"])
    assert until(Path(f"{path}2").exists)
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
