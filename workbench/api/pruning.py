"""The verb that makes a program smaller before it is quantized: prune."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError
from ..pipeline.launch import launch
from ..pipeline.naming import pruned_name
from ..pipeline.recipe import Recipe
from ..pipeline.result import Result
from ..pipeline.run import Run
from ..store import Store

if TYPE_CHECKING:
    from ..pipeline.driving import Listener
    from ..quantize.heal import HealConfig
    from ..session import Session


def prune(
    artifact: str,
    *,
    method: Literal["channels", "magnitude", "nm"] = "channels",
    amount: float = 0.5,
    pattern: tuple[int, int] = (2, 4),
    evaluate: Callable[[Session], Any] | None = None,
    max_drop: float | None = None,
    skip: Sequence[str] = (),
    threads: int = 1,
    heal: HealConfig | float | None = None,
    train: Any = None,
    loss: Callable[[Any, Any], Any] | None = None,
    name: str = "",
    store: Store | None = None,
    background: bool = False,
    on_event: Listener | None = None,
    dry_run: bool = False,
    executor: str = "local",
) -> Result | Run:
    """Remove channels or weights of a captured program, train what is left, and judge it beside the program.

    Parameters
    ----------
    artifact
        The program.
    method, amount, skip
        As in :class:`~workbench.quantize.prune.PruneConfig`. Only ``channels`` makes the program do less work.
    pattern
        For ``nm``: how many of how many consecutive weights stay.
    evaluate, max_drop, threads
        As for :func:`workbench.quantize`.
    heal, train, loss
        Train what is left, on what, by which loss; the whole program is trained for as long, as a control.
    name
        By default ``program-pruned``: a program like any other, to quantize and compile.

    Raises
    ------
    UnknownArtifact, CorruptArtifact
        If the program is not there or not whole.
    QuantizeError
        If it came as an ONNX file, or nothing of it can be removed; names the layers and why.
    NonFinite, EmptyData, MissingInput, EvaluationFailed
        If weights, training data or the measure are not usable.
    GateRefused
        If the score drops by more than `max_drop`; ``fields`` carry the numbers.
    """
    from ..pipeline import callables, training
    from ..pipeline.steps.prune import PruneStep
    from ..quantize.prune import PruneConfig

    store = store or Store()
    if max_drop is not None and evaluate is None:
        raise InputError(
            "max_drop needs an evaluation function", where="max_drop", fix="give --eval FN: it gets a session"
        )
    step = PruneStep(
        program=store.names.resolve(artifact),
        config=PruneConfig(method, amount, *pattern, tuple(skip)),
        evaluate=None if evaluate is None else callables.send(store, evaluate),
        max_drop=max_drop,
        threads=threads,
        **training.fields(store, heal, train, loss),
        name=name or pruned_name(store, artifact),
    )
    return launch(
        store,
        Recipe((step,)),
        title=f"prune {artifact}",
        background=background,
        dry_run=dry_run,
        on_event=on_event,
        executor=executor,
    )
