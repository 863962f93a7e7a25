"""A step's process started ahead of its step, so that nobody waits while it loads torch.

Loading torch, its archive reader and the ONNX exporter costs seconds, all of it before a step knows what it
is asked to do. While a live module is captured in the notebook's own process, or a step of a recipe works,
:func:`prepare` starts the next step's process beside it; :func:`take` hands that process to the step if it would
still start the same way (environment, folder, interpreter), and otherwise the step starts one of its own.

The spare process is ``python -m workbench.pipeline.spare``: it loads what steps load, waits for one line on
standard input (the order and the log), and becomes ``python -m workbench.pipeline.step``. It ends by itself
when the other end of its standard input is closed, so it never outlives whoever started it, and it is ended
when nobody wants it for a minute.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import child

_KEPT_S = 60.0
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
# What every step loads. More is not worth it while another step works: the next one may be no torch program.
OF_ALL = (
    "numpy.random",
    "safetensors.numpy",
    "workbench.pipeline.cache",
    "workbench.pipeline.context",
    "workbench.pipeline.step",
)
# torch.export leaves it behind in the caller's environment; the spare process sets its own.
_SET_BY_TORCH = {"TORCHINDUCTOR_CACHE_DIR"}


@dataclass(frozen=True)
class _Spare:
    """A waiting process, what it loads, what it was started with, and what ends it when nobody wants it."""

    process: subprocess.Popen[bytes]
    names: tuple[str, ...]
    started_with: tuple[str, str, dict[str, str]]
    end: threading.Timer


_lock = threading.Lock()
_waiting: _Spare | None = None


def prepare(names: tuple[str, ...] = OF_TORCH) -> None:
    """Start a spare process unless one waits already, or this machine has no second core for it.

    Parameters
    ----------
    names
        Modules it loads; one that has loaded :data:`OF_TORCH` serves every step.
    """
    global _waiting
    if len(os.sched_getaffinity(0)) < 2:
        return
    with _lock:
        if _waiting is not None and _usable(_waiting) and _waiting.names in (names, OF_TORCH):
            return
        _discard()
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
    process = child.start(__name__, *names, out=subprocess.DEVNULL, stdin=subprocess.PIPE, env=child.steady())
    timer = threading.Timer(_KEPT_S, _expire, (process,))
    timer.daemon = True
    timer.start()
    return _Spare(process, names, _now(), timer)


def _now() -> tuple[str, str, dict[str, str]]:
    environment = {name: v for name, v in child.steady().items() if name not in _SET_BY_TORCH}
    return sys.executable, str(Path.cwd()), environment


def _usable(spare: _Spare) -> bool:
    return spare.process.poll() is None and spare.started_with == _now()


def _expire(process: subprocess.Popen[bytes]) -> None:
    with _lock:
        if _waiting is not None and _waiting.process is process:
            _discard()


def _discard() -> None:
    """End the waiting process, if any; the lock is held."""
    global _waiting
    if _waiting is not None:
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
    global _waiting, _lock
    _waiting, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def load(names: Sequence[str]) -> None:
    """Load modules that steps load."""
    for name in names:
        with contextlib.suppress(Exception):  # the step that needs it will say what is wrong with it
            importlib.import_module(name)
    gc.freeze()  # what was loaded stays: the collector need not walk it again and again while a step works


def _wait() -> dict[str, str] | None:
    """Return the order; None when the other end is gone, or held open by a fork of it that knows nothing."""
    if not select.select([sys.stdin], [], [], 2 * _KEPT_S)[0]:
        return None
    line = sys.stdin.readline()
    return json.loads(line) if line.endswith("\n") else None


def _redirect(log: Path) -> None:
    """Make a file standard output and error, and nothing standard input, as for a step started directly."""
    with Path(os.devnull).open("rb") as nothing, log.open("ab") as out:
        os.dup2(nothing.fileno(), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)


def main(become: Callable[[Path], int], names: Sequence[str]) -> int:
    """Load, wait, and run the step that is asked for."""
    load(names)
    asked = _wait()
    if asked is None:
        return 0
    _redirect(Path(asked["log"]))
    return become(Path(asked["order"]))


if __name__ == "__main__":
    from .step import leave
    from .step import main as run_step

    leave(main(run_step, sys.argv[1:]))
