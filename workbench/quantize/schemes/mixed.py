"""``mixed``: for each layer one of ternary, int4, int8 and float, so that the program is the smallest that passes.

Needs the user's measure and the drop that is allowed. The search leaves a tenth of that drop unused: what is served
may lose a little that torch does not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch.export import ExportedProgram

from workbench.errors import MissingInput

from ..assign import Assignment, assign, build, prepared
from ..base import Outcome, Request
from ..calibrate.feeds import batches
from ..formats import FORMATS, Format
from ..layers import find_layers
from ..mixed.search import Search
from ..mixed.sensitivity import options
from ..numeric import decibel

_MARGIN = 0.9


def apply(program: ExportedProgram, request: Request) -> Outcome:
    """Return the smallest program whose score drops by no more than is allowed.

    Raises
    ------
    MissingInput
        If there is no measure or no allowed drop.
    NonFinite
        If a weight holds NaN or infinity.
    """
    if request.score is None or request.max_drop is None:
        raise MissingInput(
            "mixed precision is a search for what your measure allows",
            where="--scheme mixed",
            fix="give --eval FN and --max-drop X",
        )
    score, config, tell = request.score, request.config, request.progress
    editor = prepared(program)
    base = assign(editor, config, "float")
    layers = [layer for layer in find_layers(editor) if layer.name in base.formats]
    feeds = batches(request.calibration, request.signature)
    found = options(program, layers, request.signature, config, feeds, lambda s, t: tell(0.05 + 0.45 * s, t))

    def variant(formats: Mapping[str, Format]) -> Outcome:
        assignment = Assignment(dict(formats), dict.fromkeys(formats, ""), list(base.skipped))
        return build(prepared(program), assignment, config)

    def scored(formats: Mapping[str, Format]) -> float:
        tell(0.5 + 0.3 * min(len(search.points) / 16, 1.0), f"scoring program {len(search.points) + 1}")
        return score(variant(formats).program)

    search = Search(found, scored, score(program) - _MARGIN * request.max_drop)
    for form in FORMATS:
        able = {n: next((o for o in os if o.form == form), os[-1]).form for n, os in found.items()}
        search.passes(able, f"all {form}")
    chosen = search.run()
    size = search.size(chosen)
    outcome = variant(chosen)
    losses = {(name, o.form): o.loss for name, os in found.items() for o in os}
    rows = [replace(r, output_sqnr_db=decibel(1.0, losses[r.layer, chosen[r.layer]])) for r in outcome.layers]
    points = [replace(p, chosen=p.size_bytes == size and p.passes) for p in search.points]
    return replace(outcome, layers=tuple(rows), points=tuple(points))
