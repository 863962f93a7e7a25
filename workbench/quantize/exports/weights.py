"""What a variant holds, by the names of the captured module: its ternary weights, and everything else as tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Node

from workbench.program import read_program

from ..edit import Editor
from ..ops.int4 import unpack_int4
from ..ops.ternary import unpack_codes

_TERNARY = ("linear_ternary", "conv_ternary", "embedding_ternary", "unpack_ternary")


@dataclass(frozen=True)
class TernaryWeight:
    """A weight of -1, 0, 1.

    Parameters
    ----------
    trits
        int8 [N, K].
    scale
        float32 [N, G].
    linear
        Whether it belongs to a linear layer.
    """

    trits: NDArray[np.int8]
    scale: NDArray[np.float32]
    linear: bool

    def dense(self) -> NDArray[np.float32]:
        """Return the float weight [N, K]."""
        rows, columns = self.trits.shape
        parts = self.trits.reshape(rows, self.scale.shape[1], -1) * self.scale[..., None]
        return parts.reshape(rows, columns).astype(np.float32)


@dataclass(frozen=True)
class Weights:
    """Ternary weights, those of 4 and 8 bits as floats (with their format), and all other tensors; by name."""

    ternary: dict[str, TernaryWeight]
    widened: dict[str, tuple[Tensor, str]]
    others: dict[str, Tensor]


def read_weights(variant: Path) -> Weights:
    """Return what a variant's folder holds.

    A leading part that all names share, as from a wrapper module, is left out.

    Raises
    ------
    CorruptArtifact
        If it cannot be read.
    """
    editor = Editor(read_program(variant))
    ternary: dict[str, TernaryWeight] = {}
    widened: dict[str, tuple[Tensor, str]] = {}
    used: set[str] = set()
    for node in editor.graph.nodes:
        operator = getattr(node.target, "_opname", "") if node.op == "call_function" else ""
        if getattr(node.target, "namespace", "") != "workbench":
            continue
        held = [a for a in node.all_input_nodes if editor.tensor(a) is not None and _is_packed(editor, a)]
        used |= {editor.target(a) for a in held}
        if operator in _TERNARY:
            ternary[_name(editor, held[0], "_ternary")] = _ternary(editor, node, operator)
        elif "int4" in operator:
            codes, scale = (editor.tensor(a) for a in held[:2])
            columns = node.args[-1] if operator == "linear_int4" else math.prod(node.args[-1][1:])
            assert codes is not None, "int4 weights lie in buffers"
            widened[_name(editor, held[0], "_int4")] = (
                unpack_int4(codes, scale, [len(codes), columns]),
                "int4",
            )
        elif held:
            q, scale = (editor.tensor(a) for a in held[:2])
            assert q is not None, "int8 weights lie in buffers"
            assert scale is not None, "and so do their scales"
            axis = next((i for i, n in enumerate(q.shape) if n == len(scale)), 0)
            shape = [-1 if i == axis else 1 for i in range(q.dim())]
            widened[_name(editor, held[0], "_q")] = (q.float() * scale.view(shape), "int8")
    others = {k: v for k, v in editor.state().items() if k not in used}
    lead = _shared_lead([*ternary, *widened, *others])
    return Weights(_cut(ternary, lead), _cut(widened, lead), _cut(others, lead))


def _ternary(editor: Editor, node: Node, operator: str) -> TernaryWeight:
    place = 0 if operator == "unpack_ternary" else 1
    codes, scale = (editor.tensor(a) for a in node.args[place : place + 2])
    assert codes is not None, "ternary weights lie in buffers"
    assert scale is not None, "and so do their scales"
    last: Any = node.args[-1]
    if operator == "conv_ternary":
        x: Any = node.args[0]
        kernel: Any = node.args[4]
        columns = int(x.meta["val"].shape[-len(kernel) - 1]) // last * math.prod(kernel)
    else:
        columns = math.prod(last[1:]) if operator == "unpack_ternary" else last
    return TernaryWeight(unpack_codes(codes, columns).numpy(), scale.numpy(), operator == "linear_ternary")


def _is_packed(editor: Editor, node: Node) -> bool:
    name = editor.target(node)
    return name.endswith(("_ternary", "_int4", "_q", "_scale"))


def _name(editor: Editor, node: Node, suffix: str) -> str:
    return editor.target(node).removesuffix(suffix)


def _shared_lead(names: list[str]) -> str:
    lead = ""
    while len({name[len(lead) :].partition(".")[0] for name in names}) == 1:
        first = names[0][len(lead) :]
        if "." not in first or len(names) == 1:
            break
        lead += first.partition(".")[0] + "."
    return lead


def _cut(values: dict[str, Any], lead: str) -> dict[str, Any]:
    return {name.removeprefix(lead): value for name, value in values.items()}
