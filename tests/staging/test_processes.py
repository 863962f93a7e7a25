from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from workbench.staging import processes
from workbench.store import owner


def start(code: str, log: Path) -> str:
    return processes.start_detached([sys.executable, "-u", "-c", code], log)


def test_a_detached_process_has_its_own_session_and_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    who = start("import os; print(os.getsid(0) == os.getpid()); raise SystemExit('bye')", log)
    assert processes._wait_gone([who], 20)
    assert log.read_text().splitlines() == ["True", "bye"]
    assert processes.tail(log, 1) == "bye"
    assert log.stat().st_mode & 0o777 == 0o600


def test_ignored_signals_are_not_inherited(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        who = start("import signal; print(signal.getsignal(signal.SIGINT))", tmp_path / "log")
    finally:
        signal.signal(signal.SIGINT, before)
    assert processes._wait_gone([who], 20)
    assert "default_int_handler" in (tmp_path / "log").read_text()


def test_a_stubborn_process_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on'); time.sleep(60)"
    who = start(code, log)
    while "on" not in processes.tail(log):
        assert processes.alive(who)
    assert processes.resident_bytes(who) > 1 << 20
    assert processes.stop(who, grace_s=0.1) is False
    assert not processes.alive(who)
    assert processes.resident_bytes(who) == 0


def test_a_stranger_with_the_same_pid_is_never_signalled(tmp_path: Path) -> None:
    who = start("import time; time.sleep(60)", tmp_path / "log")
    pid, started, boot = who.split(":")
    stranger = f"{pid}:{int(started) + 1}:{boot}"
    assert processes.send(stranger, signal.SIGKILL) is False
    assert processes.stop(stranger, grace_s=1)
    assert owner.alive(who)
    processes.wait_for_a_death([who], 0.01)
    assert processes.stop(who, grace_s=10)
    assert processes.send(who, signal.SIGTERM) is False
    processes.wait_for_a_death([who], 0.01)


def test_nobody_is_not_alive() -> None:
    assert not processes.alive("")
    assert processes.send("", signal.SIGTERM) is False
    assert processes.stop_all([], grace_s=0)
    assert processes.tail(Path("/nonexistent")) == ""
    assert processes.alive(owner.of(os.getpid()))
