"""Run the float graph over calibration batches, watching chosen activations.

Bounded memory: the interpreter frees each value after its last reader, an observer keeps a fixed-size
summary, and a seeded reservoir keeps the few batches on which errors are measured afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node

from workbench.errors import EmptyData, NonFinite

from ..config import QuantizeConfig
from ..edit import Editor
from .observers import Observer, observer_for

KEPT = 4
"""Batches kept for measuring: each costs one float pass and one pass a candidate."""

Watch = Callable[[Node, tuple[Any, ...], Any], None]
"""Called with a node, its arguments and its value."""


class Watcher(Interpreter):
    """Runs a graph and shows the values of some nodes."""

    def __init__(self, editor: Editor, nodes: Collection[Node], watch: Watch) -> None:
        super().__init__(editor.module, garbage_collect_values=True)
        self._editor, self._nodes, self._watch = editor, set(nodes), watch

    def run_node(self, n: Node) -> Any:
        """Compute one node; show it if asked for."""
        value = super().run_node(n)
        if n in self._nodes:
            args, _ = self.fetch_args_kwargs_from_env(n)
            self._watch(n, args, value)
        return value

    @torch.no_grad()
    def feed(self, inputs: list[Tensor]) -> None:
        """Run one batch."""
        self.run(*self._editor.feeds(inputs), enable_io_processing=False)


def collect(
    editor: Editor,
    nodes: Collection[Node],
    batches: Iterable[list[Tensor]],
    config: QuantizeConfig,
    report: Callable[[int], None],
) -> tuple[Mapping[Node, Observer], list[list[Tensor]]]:
    """Watch `nodes` over all batches; return their observers and a few batches to measure on.

    Raises
    ------
    EmptyData
        If there is no batch.
    NonFinite
        If an activation becomes NaN or infinite; names the batch and the operator.
    """
    observers = {n: observer_for(config) for n in nodes}
    index = -1

    def watch(node: Node, args: tuple[Any, ...], value: Any) -> None:
        if value.numel() == 0:
            return
        low, high = torch.aminmax(value)
        if not torch.isfinite(low) or not torch.isfinite(high):
            raise NonFinite(
                f"calibration batch {index} makes {node.name} NaN or infinite",
                where=_place(node),
                fix="check the weights of this layer and the scale of the inputs",
                batch=index,
            )
        observers[node].watch(value)

    watcher = Watcher(editor, nodes, watch)
    chooser = random.Random(config.seed)  # noqa: S311 - a reproducible choice, not a secret
    kept: list[list[Tensor]] = []
    for index, batch in enumerate(batches):
        watcher.feed(batch)
        _keep(kept, batch, index, chooser)
        report(index + 1)
    if index < 0:
        raise EmptyData(
            "the calibration set is empty",
            where="calibration",
            fix="give at least one batch; 16 to 128 are usual",
        )
    return observers, kept


def _keep(kept: list[list[Tensor]], batch: list[Tensor], index: int, chooser: random.Random) -> None:
    """Reservoir sampling: every batch is equally likely to stay."""
    if len(kept) < KEPT:
        kept.append(batch)
    elif (place := chooser.randrange(index + 1)) < KEPT:
        kept[place] = batch


def _place(node: Node) -> str:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack and stack[-1][0] else node.name
