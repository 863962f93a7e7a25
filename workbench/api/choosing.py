"""Choose a backend by measuring all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..pipeline.launch import launch
from ..pipeline.naming import compiled_name
from ..pipeline.recipe import Recipe
from ..pipeline.result import Result
from ..pipeline.run import Run
from ..render.bubbles import Bubble, bubbles
from ..render.svg import Picture
from ..store import Store

if TYPE_CHECKING:
    from ..pipeline.driving import Listener
    from ..session import Session

_LEAST_BUDGET_S = 5.0


def choose(
    artifact: str,
    *,
    backends: Sequence[str] = (),
    budget: float = 120.0,
    calibrate: Any = None,
    preprocess: Callable[..., Any] | None = None,
    evaluate: Callable[[Session], Any] | None = None,
    max_drop: float | None = None,
    threads: int = 1,
    name: str = "",
    store: Store | None = None,
    background: bool = False,
    on_event: Listener | None = None,
    dry_run: bool = False,
    executor: str = "local",
) -> Result | Run:
    """Compile an artifact with every backend and number format, race them, and keep the fastest that passes.

    Parameters
    ----------
    artifact
        The program, or a variant, which is only compiled.
    backends
        Those to try, or single formats of one such as ``int8-static/openvino``; ``none/openvino`` is the program as
        it is. Empty for all that can run here.
    budget
        Seconds of the search. The result on the same artifact and processor is found again at once.
    calibrate, preprocess
        As for :func:`quantize`; by default the captured inputs.
    evaluate, max_drop
        As for :func:`quantize`. Without a measure, 100 times the mean cosine of the outputs to torch eager's, of
        which one point may be lost; a measure without `max_drop` may lose nothing.
    threads
        Threads of one session.
    name
        By default ``artifact/auto``.

    Returns
    -------
    Result
        Tables and a plot; ``.contenders`` has the facts, ``.speedup`` how many times eager the winner is,
        ``.backend`` and ``.scheme`` what it is; ``.session()`` runs it.

    Raises
    ------
    UnknownArtifact, CorruptArtifact
        If the artifact is not there or not whole.
    UnknownBackend, InputError
        If a backend does not exist, or a value is out of its range.
    EvaluationFailed
        If `evaluate` raises or returns no number.
    """
    from ..pipeline import callables, data
    from ..pipeline.auto.contenders import contenders
    from ..pipeline.auto.processor import processor
    from ..pipeline.preprocess import batches
    from ..pipeline.steps.auto import AutoStep

    store = store or Store()
    contenders(quantized=False, onnx=False, only=tuple(backends))
    if budget < _LEAST_BUDGET_S:
        raise InputError(
            f"a budget of {budget:g} s is too small", where="budget", fix="5 s or more, such as 120s"
        )
    if max_drop is not None and evaluate is None:
        raise InputError(
            "max_drop needs an evaluation function", where="max_drop", fix="give --eval FN: it gets a session"
        )
    program = store.names.resolve(artifact)
    prepared = None if calibrate is None else batches(store, program, calibrate, preprocess)
    step = AutoStep(
        program,
        calibration="" if prepared is None else data.put(store, prepared),
        evaluate=None if evaluate is None else callables.send(store, evaluate),
        max_drop=0.0 if evaluate is not None and max_drop is None else max_drop,
        backends=tuple(backends),
        budget_s=float(budget),
        threads=threads,
        machine=processor(),
        name=name or compiled_name(store, artifact, "auto"),
    )
    options = {"background": background, "dry_run": dry_run, "on_event": on_event, "executor": executor}
    made = launch(store, Recipe((step,)), title=f"compile {artifact}", **options)  # type: ignore[arg-type]
    if isinstance(made, Run) or "contenders" not in made.details:
        return made
    return dataclasses.replace(made, pictures=(*made.pictures, picture(made.details["contenders"])))


def picture(contenders: Sequence[Mapping[str, Any]]) -> Picture:
    """Return score over latency; the area is the size, filled ones are beaten by no other in all three."""
    points = [
        Bubble(
            one["name"],
            one["latency_ms"],
            one["score"],
            one["size_bytes"],
            marked=one["front"],
            faint=one["verdict"] not in ("picked", "passes"),
        )
        for one in contenders
        if one["latency_ms"] and one["score"] is not None
    ]
    return bubbles(points, "ms", "score", "what each backend and format gives; area: bytes")
