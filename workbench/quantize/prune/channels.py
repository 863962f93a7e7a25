"""Choose the channels that go, and cut them out.

A channel's score is the norm of everything that would go with it, over all weights that hold it (Fang et al. 2023)::

    score[c] = sum over weights W of |W[c]|^2 / mean_c |W[c]|^2

Each weight counts alike, however large its numbers are. In every group the lowest scores go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from ..edit import Editor
from ..layers import find_layers
from .config import PruneConfig
from .flow import Flow, Group


@dataclass(frozen=True)
class Cut:
    """What was done to one group: names of its weights, channels before and after, and why none went."""

    weights: tuple[str, ...]
    before: int
    after: int
    why: str = ""


def cut_channels(editor: Editor, config: PruneConfig, skipped: set[str]) -> list[Cut]:
    """Remove the lowest channels of every group that may lose some; the program's shapes follow.

    Parameters
    ----------
    editor
        The program, in its final operators.
    config
        How much goes.
    skipped
        Names of layers whose channels all stay.
    """
    untouched = {w.node: la.name for la in find_layers(editor) if la.name in skipped for w in la.weights}
    done = []
    for group in Flow(editor).groups():
        named = [node for node, axis, _ in group.cuts if axis == 0 and _is_matrix(editor, node)]
        if not named:
            continue
        stays = next((untouched[node] for node, axis, _ in group.cuts if axis == 0 and node in untouched), "")
        why = group.frozen or (f"{stays} is to stay" if stays else "")
        left = group.width if why else kept_of(group.width, config)
        if left < group.width:
            _cut(editor, group, _best(editor, group, left))
        names = tuple(editor.target(node).removesuffix(".weight") for node in named)
        done.append(Cut(names, group.width, left, why))
    editor.infer_shapes()
    return done


def kept_of(width: int, config: PruneConfig) -> int:
    """Return how many of `width` channels stay.

    Examples
    --------
    >>> kept_of(100, PruneConfig(amount=0.5)), kept_of(6, PruneConfig(amount=0.5))
    (56, 3)
    """
    kept = max(1, round(width * (1 - config.amount)))
    if width > config.multiple:
        kept = min(width, math.ceil(kept / config.multiple) * config.multiple)
    return kept


def _is_matrix(editor: Editor, node: Node) -> bool:
    value = editor.tensor(node)
    return value is not None and value.dim() > 1


def _best(editor: Editor, group: Group, count: int) -> Tensor:
    """Return the numbers of the channels that stay, rising; of equal ones the first."""
    score = torch.zeros(group.width, dtype=torch.float64)
    for node, axis, repeat in group.cuts:
        value = editor.tensor(node)
        if value is None or value.dim() < 2:
            continue  # a bias says nothing about how much a channel matters
        rows = value.detach().double().movedim(axis, 0).reshape(group.width, -1)
        assert rows.shape[1] % repeat == 0
        power = rows.square().sum(1)
        score += power / power.mean().clamp_min(torch.finfo(torch.float64).tiny)
    return torch.sort(torch.sort(score, descending=True, stable=True).indices[:count]).values


def _cut(editor: Editor, group: Group, kept: Tensor) -> None:
    for node, axis, repeat in group.cuts:
        entries = (kept.unsqueeze(1) * repeat + torch.arange(repeat)).flatten()
        value = editor.tensor(node)
        assert value is not None, "a cut is a parameter"
        editor.resize(node, value.detach().index_select(axis, entries).contiguous())
    for follow in group.sizes:
        follow(len(kept))
