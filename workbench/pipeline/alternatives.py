"""What to do instead, when the gate refuses: the next larger schemes, scored by the same measure."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GateRefused
from .context import StepContext
from .evaluation import score

if TYPE_CHECKING:
    from .steps.quantize import QuantizeStep

_NEXT = {"ternary": ("int4", "int8"), "mixed": ("int8",), "int4": ("int8",)}
"""Larger schemes by scheme, the smallest first."""


def advise(step: QuantizeStep, context: StepContext, program: Path, refusal: GateRefused) -> GateRefused:
    """Return the refusal with the smallest larger scheme that would pass, and what each reached."""
    from ..compile import reference
    from ..quantize import quantize_program

    schemes = _NEXT.get(step.config.scheme, ())
    if not schemes or step.evaluate is None or step.max_drop is None:
        return refusal
    baseline = float(refusal.fields["baseline"])
    function, tried = context.function(step.evaluate), []
    for scheme in schemes:
        context.stage(f"the gate refused {step.config.scheme}; trying {scheme}", 0.96)
        out = context.folder()
        report = quantize_program(
            program, out, dataclasses.replace(step.config, scheme=scheme, mode="dynamic")
        )
        reached = score(function, reference(out, step.threads))
        passes = baseline - reached <= step.max_drop
        size = report.size_ratio
        tried.append({"scheme": scheme, "score": reached, "passes": passes, "size_ratio": size})
        if passes:
            break
    return _worded(refusal, step, tried)


def _worded(refusal: GateRefused, step: QuantizeStep, tried: list[dict[str, object]]) -> GateRefused:
    words = [f"{t['scheme']} scores {t['score']:.4f} at {t['size_ratio']:.2f}x the size" for t in tried]
    passing = next((t["scheme"] for t in tried if t["passes"]), None)
    instead = "keep the float program" if step.config.scheme == "mixed" else "--scheme mixed"
    options = [f"--scheme {passing}" if passing else instead]
    if step.config.scheme in ("ternary", "int4") and step.heal is None:
        options.append(f"--scheme {step.config.scheme} --heal 60s --train LOADER")
    return GateRefused(
        f"{refusal.what}; {', '.join(words)}",
        where=refusal.where,
        fix=", or ".join([*options, refusal.fix]),
        **refusal.fields,
        alternatives=tried,
    )
