"""How things are timed: contenders take turns, and whatever must start cold runs in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .samples import Samples

Contender = Callable[[], float]
"""Does its work once and returns the figure, in the unit its key names."""


def interleave(samples: Samples, contenders: Mapping[str, Contender], rounds: int) -> None:
    """Measure every contender once a round, in an order that rotates from round to round.

    Taking turns lets a disturbance hit all of them; rotating lets each go first as often as the others.

    Parameters
    ----------
    samples
        Where the figures go, under the contenders' keys.
    contenders
        What to measure, by key.
    rounds
        How often; the first round is as warm as the contenders make it.
    """
    keys = list(contenders)
    for number in progress(rounds, ", ".join(keys)):
        turn = number % len(keys)
        for key in keys[turn:] + keys[:turn]:
            samples.add(key, contenders[key]())


def progress(rounds: int, what: str) -> Iterator[int]:
    """Count rounds, telling on the error stream which one runs."""
    for number in range(rounds):
        print(f"[{number + 1}/{rounds}] {what}", file=sys.stderr, flush=True)
        yield number


def timed_ms(work: Callable[[], object]) -> float:
    """Return how long one call takes, in milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def fresh(code: str, *, timeout_s: float = 600.0, **environment: str) -> Any:
    """Run Python code in a new interpreter and return what it prints last, read as JSON.

    Parameters
    ----------
    code
        The program; it prints one JSON value as its last line.
    timeout_s
        How long it may take, seconds.
    **environment
        Variables set for it.

    Raises
    ------
    RuntimeError
        If it fails; carries the end of its error stream.
    """
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        timeout=timeout_s,
    )
    if result.returncode:
        raise RuntimeError(f"a measured process failed ({result.returncode}):\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.rstrip().rpartition("\n")[2])
