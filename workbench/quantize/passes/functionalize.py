"""Replace ``relu_`` and its like by their pure forms, where nothing else sees the write.

Captured graphs keep the in-place operators of the module. The other passes reason about values, so an
operator that overwrites its input must go first. It may when that input has no other reader.
"""

from __future__ import annotations

import torch
from torch.fx import Node

from ..edit import Editor

aten = torch.ops.aten
_PURE = {
    aten.relu_.default: aten.relu.default,
    aten.relu6_.default: aten.relu6.default,
    aten.hardtanh_.default: aten.hardtanh.default,
    aten.hardswish_.default: aten.hardswish.default,
    aten.silu_.default: aten.silu.default,
    aten.leaky_relu_.default: aten.leaky_relu.default,
    aten.elu_.default: aten.elu.default,
    aten.sigmoid_.default: aten.sigmoid.default,
    aten.add_.Tensor: aten.add.Tensor,
    aten.mul_.Tensor: aten.mul.Tensor,
}


def functionalize(editor: Editor) -> None:
    """Make the common in-place operators pure."""
    for node in editor.graph.nodes:
        pure = _PURE.get(node.target) if node.op == "call_function" else None
        written = node.args[0] if pure else None
        if isinstance(written, Node) and written.op == "call_function" and len(written.users) == 1:
            node.target = pure
