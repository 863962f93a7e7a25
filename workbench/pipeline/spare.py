"""A step's process started ahead of its step, so that nobody waits while it loads what steps load.

Loading torch, its archive reader and the ONNX exporter costs seconds, and loading what every step needs a tenth of
one, all of it before a step knows what it is asked to do. So the next step's process is started beside the work:

* while a live module is captured in the notebook's own process: one with torch; it is ended after a minute;
* while a step of a recipe works and another follows: one with what every step loads;
* in a session (:func:`stay`: ``%load_ext workbench``, an interactive Python; or the second verb of any program): the
  same, started when a step has taken the last one, and kept as long as the session lives.

:func:`take` hands the waiting process to a step if it would still start the same way (environment, folder,
interpreter); otherwise the step starts one of its own. There is none on one core, where memory is short, or where
``MLOPS_AHEAD=0`` says so. What waits is :mod:`workbench.pipeline.waiting`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from . import child
from .free_memory import free_bytes

_KEPT_S = 60.0
_AFTER_S = 0.1
"""A session's next one begins this long after a step has taken the last: a short step has ended by then, and is not
held up by it."""
_LEAVES_BYTES = 1 << 30
"""It is started only where so much memory stays free for the notebook."""
_NEEDS_BYTES = {False: 1 << 25, True: 1 << 29}
"""What it holds itself: without torch, and with it."""
# What the steps of a torch program load, in the order in which they do; a package that is not there is left out.
OF_TORCH = (
    "torch",
    "torch.export",
    "torch.export.pt2_archive._package",
    "torch._export.non_strict_utils",
    "safetensors.numpy",
    "onnxruntime",
    "onnxscript.function_libs.torch_lib.ops",
    "torch.onnx._internal.exporter._core",
    "torch.onnx._internal.exporter._fx_passes",
    "torch._functorch.partitioners",
    "onnxscript.rewriter",
    "onnxscript._framework_apis.torch_2_5",
    "workbench.quantize.schemes.int8",
    "workbench.compile.onnx_direct",
    "workbench.compile.onnx_model",
    "workbench.pipeline.steps.quantize",
)
# What every step loads, and verbs that load no more. More is not worth it: the next one may be no torch program.
OF_ALL = (
    "cloudpickle",
    "numpy.random",
    "safetensors.numpy",
    "workbench.pipeline.cache",
    "workbench.pipeline.context",
    "workbench.pipeline.step",
    "workbench.pipeline.steps.call",
    "workbench.pipeline.steps.capture",
    "workbench.pipeline.steps.package",
    "workbench.pipeline.steps.score",
)
# torch.export leaves it behind in the caller's environment; the spare process sets its own.
_SET_BY_TORCH = {"TORCHINDUCTOR_CACHE_DIR"}


@dataclass(frozen=True)
class _Spare:
    """A waiting process, what it loads, what it was started with, and what ends it when nobody wants it."""

    process: subprocess.Popen[bytes]
    names: tuple[str, ...]
    started_with: tuple[str, str, dict[str, str]]
    end: threading.Timer | None


_lock = threading.Lock()
_waiting: _Spare | None = None
_session = False
_recipes = 0


def stay() -> None:
    """Keep one waiting from now on: this process is a session, in which one verb follows another."""
    global _session
    _session = True
    _ready()


def stay_soon() -> None:
    """Do so in a moment, beside whatever this thread does meanwhile."""
    global _session
    _session = True
    timer = threading.Timer(_AFTER_S, _ready)
    timer.daemon = True
    timer.start()


def _ready() -> None:
    """Start one, and read the names of the installed packages, which each run asks for."""
    from ..package.environment import lock

    if not _session:  # somebody has said otherwise meanwhile
        return
    # None can be started, the folder is gone: a verb will say so itself.
    with contextlib.suppress(OSError):
        prepare(OF_ALL)
        lock().digest  # noqa: B018 - it is kept


def leave() -> None:
    """Keep none any more."""
    global _session, _recipes
    with _lock:
        _session, _recipes = False, 0
        _discard()


def follow(more: bool) -> None:
    """Start the next step's process, now that a step has begun.

    Parameters
    ----------
    more
        Whether another step of the same recipe follows. After the last one a session's is started, a moment later.
    """
    global _recipes
    if more:
        prepare(OF_ALL)
        return
    _recipes += 1
    if _session or _recipes > 1:  # who has asked for two verbs will ask for a third
        stay_soon()


def prepare(names: tuple[str, ...] = OF_TORCH) -> None:
    """Start a spare process unless one waits already, or this machine has no second core or no memory for it.

    Parameters
    ----------
    names
        Modules it loads; one that has loaded :data:`OF_TORCH` serves every step.
    """
    global _waiting
    if os.environ.get("MLOPS_AHEAD") == "0" or len(os.sched_getaffinity(0)) < 2:
        return
    with _lock:
        if _waiting is not None and _usable(_waiting) and _waiting.names in (names, OF_TORCH):
            return
        _discard()
        if free_bytes() >= _LEAVES_BYTES + _NEEDS_BYTES[names is OF_TORCH]:
            _waiting = _start(names)


def take(order: Path, log: Path) -> subprocess.Popen[bytes] | None:
    """Give the waiting process its order and return it; None when none waits that could take it.

    Parameters
    ----------
    order
        The step's file (:func:`workbench.pipeline.step.write`).
    log
        Where its standard output and error go from now on.
    """
    global _waiting
    with _lock:
        spare, _waiting = _waiting, None
    if spare is None:
        return None
    if spare.end is not None:
        spare.end.cancel()
    if _usable(spare):
        line = json.dumps({"order": str(order.resolve()), "log": str(log.resolve())}) + "\n"
        pipe = spare.process.stdin
        assert pipe is not None, "it was started with one"
        with contextlib.suppress(BrokenPipeError), pipe:
            pipe.write(line.encode())
            pipe.flush()
            return spare.process
    _end(spare)
    return None


def _start(names: tuple[str, ...]) -> _Spare:
    started_with = _now()
    process = child.start(
        f"{__package__}.waiting",
        str(os.getpid()),
        *names,
        out=subprocess.DEVNULL,
        stdin=subprocess.PIPE,
        env=child.steady(),
    )
    timer = None
    if names is OF_TORCH or not _session:
        timer = threading.Timer(_KEPT_S, _expire, (process,))
        timer.daemon = True
        timer.start()
    return _Spare(process, names, started_with, timer)


def _now() -> tuple[str, str, dict[str, str]]:
    environment = {name: v for name, v in child.steady().items() if name not in _SET_BY_TORCH}
    return sys.executable, str(Path.cwd()), environment


def _usable(spare: _Spare) -> bool:
    return spare.process.poll() is None and spare.started_with == _now()


def _expire(process: subprocess.Popen[bytes]) -> None:
    with _lock:
        if _waiting is None or _waiting.process is not process:
            return
        _discard()
    _ready()  # in a session a light one takes its place


def _discard() -> None:
    """End the waiting process, if any; the lock is held."""
    global _waiting
    if _waiting is not None:
        if _waiting.end is not None:
            _waiting.end.cancel()
        _end(_waiting)
        _waiting = None


def _end(spare: _Spare) -> None:
    spare.process.kill()
    spare.process.communicate()


@atexit.register
def _at_exit() -> None:
    with _lock:
        _discard()


def _forget() -> None:
    """Leave the waiting process to the one who started it: this is a fork of that one."""
    global _waiting, _lock, _session, _recipes
    _waiting, _lock, _session, _recipes = None, threading.Lock(), False, 0


os.register_at_fork(after_in_child=_forget)
