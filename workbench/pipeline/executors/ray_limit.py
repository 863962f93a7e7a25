"""How long a step may take on a Ray worker: it is interrupted, and where that is not heard the worker is ended.

A signal's handler waits for the interpreter, which long native code and a stopped process do not come back to. A
shell beside the worker therefore ends it some seconds later; it leaves a mark, by which Ray's next attempt on this
machine knows why there was no answer. It waits at a pipe that closes with the worker, and ends only its own parent.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...config import cache
from ...errors import StepFailed
from ..workers.order import Order

GRACE_S = 5.0
_GUARD = """
timeout "$1" cat
[ $? = 124 ] || exit
read -r _ _ _ parent _ < /proc/$$/stat
[ "$parent" = "$PPID" ] && : > "$2" && kill -9 "$PPID"
"""


@contextlib.contextmanager
def limited(order: Order) -> Iterator[None]:
    """Hold an order to its time, if it has one.

    Raises
    ------
    StepFailed
        If it took longer, or had this worker's predecessor ended for that.
    """
    if not order.timeout_s:
        yield
        return

    def late(*_: Any) -> None:
        raise StepFailed(f"it ran longer than {order.timeout_s:g} s", where=f"{order.run_id}, {order.path}")

    mark = cache("ray-late") / f"{order.run_id}-{order.position}-{order.attempt}"
    if mark.exists():
        mark.unlink()
        late()
    before = signal.signal(signal.SIGALRM, late)
    guard = _guard(order.timeout_s + GRACE_S, mark)
    signal.setitimer(signal.ITIMER_REAL, order.timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        guard.kill()  # the shell alone could end this process; what it waits for ends with the pipe
        guard.communicate()


def _guard(after_s: float, mark: Path) -> subprocess.Popen[bytes]:
    command = ["/bin/sh", "-c", _GUARD, "sh", f"{after_s:g}", str(mark)]
    out = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True)
