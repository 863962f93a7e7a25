"""The step ``score``: what the user's measure says of a compiled artifact, on all of its data or on a part."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...codec import register
from .. import data
from ..callables import CallableReference
from ..context import StepContext
from ..recipe import step_body
from ..result import Measured, StepResult

if TYPE_CHECKING:
    from ...session import Session

FRACTION = "fraction"
"""The keyword by which an evaluation function says that it can work on a part of its data."""


@register("score_step")
@dataclass(frozen=True)
class ScoreStep:
    """Score a compiled artifact, or a program in torch eager.

    Parameters
    ----------
    program
        The captured program: the baseline.
    compiled
        What is scored; empty for the program itself.
    evaluate
        Called with a session; also with ``fraction`` when it takes that keyword.
    fraction
        Share of the evaluation data, in (0, 1].
    threads
        Threads of the sessions.
    name
        Unused.
    """

    verb: ClassVar[str] = "score"
    inputs: ClassVar[tuple[str, ...]] = ("program", "compiled")
    code: ClassVar[tuple[str, ...]] = ("compile", "pipeline/steps/score.py", "pipeline/evaluation.py")

    program: str
    evaluate: CallableReference
    compiled: str = ""
    fraction: float = 1.0
    threads: int = 1
    name: str = ""


def takes_fraction(function: Callable[..., Any]) -> bool:
    """Return whether an evaluation function can be asked for a part.

    Examples
    --------
    >>> takes_fraction(lambda session: 1.0), takes_fraction(lambda session, fraction=1.0: 1.0)
    (False, True)
    """
    try:
        return FRACTION in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


@step_body(ScoreStep)
def score(step: ScoreStep, context: StepContext) -> StepResult:
    """Score, and on the whole data also time, beside torch eager."""
    from ...compile import load, reference
    from ..evaluation import score as measure

    function = context.function(step.evaluate)
    if takes_fraction(function):
        function = functools.partial(function, fraction=step.fraction)
    program = context.input(step.program)
    session = load(context.input(step.compiled), threads=step.threads) if step.compiled else None
    value = measure(function, session or reference(program, step.threads))
    measured = _latency(step, program, session) if session is not None and step.fraction == 1.0 else ()
    folder = context.folder()
    data.write({"score": value}, folder)
    parents = tuple(digest for digest in (step.program, step.compiled) if digest)
    return StepResult(
        context.put("data", folder, parents=parents, metrics={"score": value}),
        metrics={"score": value},
        measured=measured,
    )


def _latency(step: ScoreStep, program: Path, session: Session) -> tuple[Measured, ...]:
    from ...compile import reference
    from ...program import read_examples
    from ..evaluation import compare_latency, one_item

    baseline = reference(program, step.threads)
    found = compare_latency(baseline, session, one_item(baseline.signature, read_examples(program).inputs))
    against = f"fp32 in torch eager, {step.threads} thread(s), batch 1, interleaved"
    return (
        Measured("latency_ratio", found.ratio, "ratio", against),
        Measured("latency_ms", found.candidate_ms, "ms"),
    )
