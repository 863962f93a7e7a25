"""What a step costs beyond its own work on each executor, beside kfp's own local runner; a wide fan-out; Ray's nodes.

Steps do nothing. The fixed cost of a run (its host program) is taken out by the difference of a long and a short
run of the same pipeline, each in a store of its own.
"""

import contextlib
import io
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.pipeline.dsl import Pipeline, pipeline, step
from workbench.store import Store

from ..harness import Contender, interleave
from ..ray_cluster import measure as measure_ray
from ..samples import Samples

WIDE = 10_000
SHORT, LONG = 2, 22
KFP_SHORT, KFP_LONG = 1, 6


@step
def nothing(i: int) -> int:
    """Return the next number, so that no step of a chain is answered by another's result."""
    return i + 1


@step
def array(i: int) -> Any:
    """Return an artifact of one number."""
    return {"i": i}


def chain(count: int) -> Pipeline:
    """Return a pipeline of so many steps, one after the other."""

    def steps(n: int = 0) -> Any:
        value: Any = n
        for _ in range(count):
            value = nothing(value)
        return value

    return pipeline(steps)


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 1 round and a fan-out of 200 when quick, else 5 rounds and all 10,000: within 4 minutes on 2 cores."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        contenders = {"local.step_ms": _difference(home), "cached.step_ms": _cached(home / "cached")}
        with contextlib.suppress(ImportError):
            contenders["kfp_local.step_ms"] = _kfp(home)
        interleave(samples, contenders, 1 if quick else 5)
        if "kfp_local.step_ms" in contenders:
            samples.ratio("local.over_kfp_local", "local.step_ms", "kfp_local.step_ms")
        count = 200 if quick else WIDE
        interleave(samples, {f"fan_out_{count}.step_ms": _wide(home / "wide", count)}, 1)
        if find_spec("ray") is not None:
            measure_ray(samples, home / "ray", chain(LONG), 1 if quick else 2)


def _seconds(work: Pipeline, store: Store, **arguments: Any) -> float:
    start = time.perf_counter()
    wb.run(work, arguments, store=store)
    return time.perf_counter() - start


def _difference(home: Path) -> Contender:
    short, long = chain(SHORT), chain(LONG)

    def measure() -> float:
        with tempfile.TemporaryDirectory(dir=home) as one, tempfile.TemporaryDirectory(dir=home) as two:
            taken = _seconds(long, Store(Path(two))) - _seconds(short, Store(Path(one)))
        return taken / (LONG - SHORT) * 1e3

    return measure


def _cached(home: Path) -> Contender:
    store, long = Store(home), chain(LONG)
    _seconds(long, store)
    return lambda: _seconds(long, store) / LONG * 1e3


def _kfp(home: Path) -> Contender:
    from kfp import components, local

    texts = [components.load_component_from_text(_theirs(count)) for count in (KFP_SHORT, KFP_LONG)]
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(home / "kfp"))

    def measure() -> float:
        taken = []
        for component in texts:
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                component(n=1)
            taken.append(time.perf_counter() - start)
        return (taken[1] - taken[0]) / (KFP_LONG - KFP_SHORT) * 1e3

    return measure


def _theirs(count: int) -> str:
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11", install_kfp_package=False)  # type: ignore[untyped-decorator]
    def same(i: int) -> int:
        return i

    same.__name__ = "same"

    @dsl.pipeline(name="chain")  # type: ignore[untyped-decorator]
    def steps(n: int = 1) -> None:
        value = n
        for _ in range(count):
            value = same(i=value).output

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.yaml"
        compiler.Compiler().compile(steps, str(path))
        return path.read_text()


def _wide(home: Path, count: int) -> Contender:
    @pipeline
    def spread(n: int = 0) -> None:
        array.map(list(range(count)))

    return lambda: _seconds(spread, Store(home)) / count * 1e3
