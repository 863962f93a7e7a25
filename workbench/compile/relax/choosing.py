"""Whose kernel serves which operator, by measurement: the whole model is built and timed with the one and the other.

Operators of one kind and size are decided together. A schedule of TVM's is timed as it will run, fused with what is
around it and with the tuning records there are, and against the best so far in turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...errors import CompileError
from ...program import write_signature
from ..emit.record import write_record
from ..limits import limits_of, write_limits
from ..source import Source
from .importing import decomposed
from .loading import RelaxRunner
from .lowering import build, readable

_MEASURED = ("linear", "bmm", "convolution", "scaled_dot_product_attention", "layer_norm", "gelu", "_softmax")
"""Operators that both have; the layers of quantized programs are ours alone."""
_ROUNDS, _HOPELESS, _TURN_S = 9, 2.0, 0.002
_WORTH, _MOST = 0.98, 0.8
"""TVM's schedule is taken if the model takes less than this share of the time with it, and less in most turns."""


def choose(
    source: Source,
    lowered: Callable[[frozenset[str]], Any],
    scratch: Path,
    target: str,
    threads: int,
    seconds: float,
    tell: Callable[[str], None],
) -> tuple[frozenset[str], str]:
    """Return the names of the operators that TVM's schedules serve, and a text of what was measured.

    Parameters
    ----------
    source
        The program.
    lowered
        Gives the module in which these operators are TVM's.
    scratch
        A folder for models that are built to be timed.
    target, threads
        What it is for.
    seconds
        No measurement begins later.
    tell
        Called with a line of text.
    """
    until, feeds = time.monotonic() + seconds, source.examples.inputs
    groups = {} if source.is_onnx else _groups(decomposed(source.program, linked=True))
    if not groups:
        return frozenset(), "nothing that both have"
    chosen, said = frozenset[str](), []
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".measure-") as folder:

        def built(module: Any) -> RelaxRunner:
            return _built(source, module, Path(tempfile.mkdtemp(dir=folder)), target, threads)

        module = lowered(chosen)
        best = built(module)
        for label, names in groups.items():
            if time.monotonic() > until:
                said.append(f"{label}: ours, not measured in {seconds:g} s")
                continue
            tell(f"measuring TVM's schedule of {label}")
            try:
                other_module = lowered(chosen | names)
                if readable(module) == readable(other_module):
                    said.append(f"{label}: TVM, ours does not take sizes that change")
                    continue
                other = built(other_module)
            except CompileError as refusal:
                said.append(f"{label}: ours, TVM has none ({refusal.what})")
                continue
            pairs = _times(best, other, feeds)
            ours, theirs = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
            taken = theirs < _WORTH * ours and sum(b < a for a, b in pairs) > _MOST * len(pairs)
            if taken:
                chosen, best, module = chosen | names, other, other_module
            said.append(
                f"{label}: {'TVM' if taken else 'ours'}, {ours:.3g} ms a run with ours, {theirs:.3g} with TVM's"
            )
    return chosen, "; ".join(said)


def _groups(program: Any) -> dict[str, frozenset[str]]:
    """Return the operators to decide on, by kind and sizes."""
    found: dict[str, list[str]] = {}
    for node in program.graph.nodes:
        kind = str(node.target).removeprefix("aten.").removesuffix(".default")
        if node.op != "call_function" or kind not in _MEASURED:
            continue
        values = [source.meta.get("val") for source in node.all_input_nodes]
        sizes = " ".join("x".join(map(str, value.shape)) for value in values if hasattr(value, "shape"))
        found.setdefault(f"{kind.strip('_')} {sizes}", []).append(node.name)
    return {f"{len(names)} x {label}": frozenset(names) for label, names in found.items()}


def _built(source: Source, module: Any, folder: Path, target: str, threads: int) -> RelaxRunner:
    build(module, folder, target, threads)
    write_record(folder, target, ())
    write_signature(folder, source.signature)
    write_limits(folder, limits_of(source))
    return RelaxRunner(folder, threads)


def _times(best: RelaxRunner, other: RelaxRunner, feeds: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return processor seconds of a run of each, in turns; one turn only where the other is hopeless."""
    for runner in (best, other):  # cold, one that is new would look hopeless
        runner.run(feeds)
    taken: list[tuple[float, float]] = []
    for _ in range(_ROUNDS):
        taken.append((_once(best, feeds), _once(other, feeds)))
        if len(taken) == 1 and taken[0][1] > _HOPELESS * taken[0][0]:
            break
    return taken


def _once(runner: RelaxRunner, feeds: Mapping[str, Any]) -> float:
    """Return seconds of a run, the least of some within 2 ms: of all threads, so that others' work does not count."""
    found, until = list[float](), time.perf_counter() + _TURN_S
    while not found or time.perf_counter() < until:
        begun = time.process_time()
        runner.run(feeds)
        found.append(time.process_time() - begun)
    return min(found)
