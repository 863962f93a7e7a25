"""Start, watch and stop processes that outlive us.

A detached process has its own session, so neither the terminal's Ctrl-C nor the notebook kernel's end reaches
it. It is named by an owner text (pid, start time, boot): a pid alone may belong to a stranger a minute later,
and a stranger must never be signalled.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from ..store import owner

INHERITED = 200  # higher than any of ours, so that none is overwritten before it is copied

_POLL_S = 0.005

# A parent's ignored signals would stay ignored in the child; these must mean what they say there.
_RESET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD, signal.SIGUSR1)


def start_detached(command: Sequence[str], log: Path, inherited: Sequence[int] = ()) -> str:
    """Start a process in its own session, its output appended to `log`; return its owner text.

    Parameters
    ----------
    inherited
        Descriptors that the process finds as numbers from :data:`INHERITED` on.

    Examples
    --------
    >>> import sys
    >>> who = start_detached([sys.executable, "-c", "import time; time.sleep(60)"], Path("/dev/null"))
    >>> owner.alive(who)
    True
    >>> stop(who, grace_s=5)
    True
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        command[0],
        list(command),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_DUP2, one, INHERITED + n) for n, one in enumerate(inherited)),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=_RESET,
    )
    return owner.of(pid)


def alive(who: str) -> bool:
    """Return whether the process still runs, and bury it if it was our child and died."""
    if owner.alive(who):
        return True
    pid = owner.pid_of(who)
    if pid and owner.of(pid) == who:  # a zombie, and not another child of ours that got its pid
        with contextlib.suppress(ChildProcessError):
            buried, _ = os.waitpid(pid, os.WNOHANG)
            return not buried  # its main thread has ended, others are about to
    return False


def send(who: str, number: signal.Signals) -> bool:
    """Signal exactly this process; whether it was there.

    The pidfd names the process itself: if the pid was reused between look and signal, nothing is sent.
    """
    if not alive(who):
        return False
    try:
        handle = os.pidfd_open(owner.pid_of(who))
    except ProcessLookupError:
        return False
    try:
        if not owner.alive(who):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def stop(who: str, *, grace_s: float) -> bool:
    """Ask a process to end, wait, and kill it after `grace_s`; whether it ended by itself."""
    return stop_all([who], grace_s=grace_s)


def stop_all(whos: Sequence[str], *, grace_s: float) -> bool:
    """Stop several processes at once; whether all ended by themselves."""
    for who in whos:
        send(who, signal.SIGTERM)
    if _wait_gone(whos, grace_s):
        return True
    for who in whos:
        send(who, signal.SIGKILL)
    _wait_gone(whos, 10.0)
    return False


def _wait_gone(whos: Sequence[str], timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while [who for who in whos if alive(who)]:  # looks at all, so that every child of ours is buried
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True


def wait_for_a_death(whos: Sequence[str], timeout_s: float) -> None:
    """Sleep until one of these processes ends, or for `timeout_s`."""
    poll, handles = select.poll(), []
    try:
        for who in whos:
            with contextlib.suppress(OSError):
                handles.append(os.pidfd_open(owner.pid_of(who)))
                poll.register(handles[-1], select.POLLIN)
        poll.poll(timeout_s * 1000)
    finally:
        for handle in handles:
            os.close(handle)


def resident_bytes(who: str) -> int:
    """Return the resident memory of a process, 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{owner.pid_of(who)}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
