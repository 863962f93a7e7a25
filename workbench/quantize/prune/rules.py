"""How operators pass channels on: from the ties of what they read to the ties of what they give.

A rule returns one tie (or None) a dimension of the result, or None when it does not apply: then the groups it reads are
frozen. What is not listed here has no rule. Layer and group norms have none on purpose: they divide by a mean
over the channels, which removing some would change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch.fx import Node

from .flow import Flow, Tie, Ties

aten = torch.ops.aten
Rule = Callable[[Flow, Node], "Ties | None"]


def _same(flow: Flow, node: Node) -> Ties | None:
    return flow.ties(node.args[0])


def _convolution(flow: Flow, node: Node) -> Ties | None:
    x, w, bias, *_, groups = [*node.args, *[None] * 7][:7]
    groups = groups or 1
    weight, ties = flow.editor.tensor(w), flow.ties(x)
    if weight is None or len(ties) != weight.dim():
        return None
    channel = ties[1]
    if groups == 1:
        if channel is not None and channel.repeat == 1:
            flow.cut(channel, w, 1)
        else:
            flow.freeze([channel], "a convolution reads it in blocks")
        made = flow.new(weight.shape[0])
        return [ties[0], _written(flow, made, (w, bias)), *[None] * (len(ties) - 2)]
    if groups == weight.shape[0] and weight.shape[1] == 1 and channel is not None and channel.repeat == 1:
        flow.group(channel).sizes.append(lambda kept: _set(node, 6, kept))
        return [ties[0], _written(flow, channel, (w, bias)), *[None] * (len(ties) - 2)]
    flow.freeze([channel], "a grouped convolution reads it")
    return [ties[0], *[None] * (len(ties) - 1)]


def _linear(flow: Flow, node: Node) -> Ties | None:
    x, w, bias = [*node.args, None][:3]
    weight, ties = flow.editor.tensor(w), flow.ties(x)
    if weight is None:
        return None
    if ties[-1] is not None:
        flow.cut(ties[-1], w, 1)
    return [*ties[:-1], _written(flow, flow.new(weight.shape[0]), (w, bias))]


def _written(flow: Flow, tie: Tie, parameters: tuple[Any, Any]) -> Tie:
    """Let a layer's weight and bias follow its output channels."""
    for parameter in parameters:
        if parameter is not None:
            flow.cut(tie, parameter, 0)
    return tie


def _batch_norm(flow: Flow, node: Node) -> Ties | None:
    ties = flow.ties(node.args[0])
    if len(ties) > 1 and ties[1] is not None:
        for parameter in node.args[1:5]:
            if parameter is not None:
                flow.cut(ties[1], parameter, 0)
    return ties


def _both(flow: Flow, node: Node) -> Ties | None:
    """Two operands, broadcast against each other."""
    shape = node.meta["val"].shape
    result: Ties = []
    for place in range(1, len(shape) + 1):
        present = [a for a in node.args[:2] if isinstance(a, Node) and _size(a, -place) != 1]
        ties = [flow.ties(a)[-place] for a in present]
        result.insert(0, _met(flow, present, ties, -place))
    return result


def _met(flow: Flow, operands: list[Node], ties: Ties, axis: int) -> Tie | None:
    """Return what one dimension of a broadcast is tied to."""
    if len(ties) < 2 or not any(ties):
        return ties[0] if ties else None
    for one, other in ((0, 1), (1, 0)):
        value, tie = flow.editor.tensor(operands[other]), ties[one]
        if value is not None and tie is not None:  # a scale or shift a channel, kept as a parameter
            return tie if flow.cut(tie, operands[other], value.dim() + axis) else None
    return flow.join(*ties)


def _size(node: Node, axis: int) -> Any:
    value: Any = node.meta.get("val")
    if not hasattr(value, "shape") or len(value.shape) < -axis:
        return 1
    size = value.shape[axis]
    return size if isinstance(size, int) else None


def _pooled(flow: Flow, node: Node) -> Ties | None:
    ties, rank = flow.ties(node.args[0]), node.meta["val"].dim()
    spatial = ties[2:]
    if rank < 3 or any(spatial):
        return None
    return [*ties[:2], *[None] * (rank - 2)]


def _mean(flow: Flow, node: Node) -> Ties | None:
    x, axes = node.args[0], node.args[1]
    ties = flow.ties(x)
    gone = {a % len(ties) for a in cast(list[int], axes or range(len(ties)))}
    if any(ties[a] for a in gone):
        return None
    keep = bool(node.args[2]) if len(node.args) > 2 else False
    return [t for i, t in enumerate(ties) if keep or i not in gone]


def _reshape(flow: Flow, node: Node) -> Ties | None:
    """Dimensions at the end that become one: the first of them may hold channels, the others make blocks of it."""
    ties, before, after = flow.ties(node.args[0]), _shape(node.args[0]), _shape(node)
    kept = len(after) - 1
    if not any(ties):
        return [None] * len(after)
    if kept >= len(before) or list(map(str, before[:kept])) != list(map(str, after[:kept])):
        return None
    if any(ties[kept + 1 :]):
        return None
    tie = ties[kept]
    if tie is not None:
        block, fixed = before[kept + 1 :], all(isinstance(n, int) for n in before[kept + 1 :])
        tie = Tie(tie.group, tie.repeat * math.prod(block) if fixed and tie.repeat is not None else None)
        if node.target is not aten.flatten.using_ints and not _resized(flow, node, tie):
            return None
    return [*ties[:kept], tie]


def _resized(flow: Flow, node: Node, tie: Tie) -> bool:
    """Let the last size of a view follow the channels; False when it is computed elsewhere."""
    sizes = list(cast(list[Any], node.args[1]))
    if not isinstance(sizes[-1], int):
        return False
    if sizes[-1] != -1:
        repeat = sizes[-1] // flow.group(tie).width
        flow.group(tie).sizes.append(lambda kept: _set(node, 1, [*sizes[:-1], kept * repeat]))
    return True


def _moved(flow: Flow, node: Node) -> Ties | None:
    ties = flow.ties(node.args[0])
    if node.target is aten.permute.default:
        return [ties[a] for a in cast(list[int], node.args[1])]
    one, other = (cast(int, a) for a in node.args[1:3])
    ties[one], ties[other] = ties[other], ties[one]
    return ties


def _measured(flow: Flow, node: Node) -> Ties | None:
    """Give no tie for a size that is read; one of channels would change, so those stay."""
    return None if flow.ties(node.args[0])[cast(int, node.args[1])] else []


def _shape(node: Any) -> list[Any]:
    return list(node.meta["val"].shape)


def _set(node: Node, place: int, value: Any) -> None:
    args = [*node.args]
    args[place] = value
    node.args = tuple(args)


def _named(names: str, rule: Rule) -> dict[Any, Rule]:
    """Return a rule for all overloads of some operators that this torch has."""
    found: dict[Any, Rule] = {}
    for name in names.split():
        packet = getattr(aten, name, None)
        for overload in packet.overloads() if packet is not None else ():
            found[getattr(packet, overload)] = rule
    return found


RULES: dict[Any, Rule] = {
    **_named(
        "relu relu_ relu6 relu6_ gelu gelu_ silu silu_ mish mish_ elu elu_ selu selu_ leaky_relu leaky_relu_ hardtanh"
        " hardtanh_ hardswish hardswish_ hardsigmoid hardsigmoid_ sigmoid sigmoid_ tanh tanh_ softplus clamp clamp_"
        " clamp_min dropout dropout_ feature_dropout contiguous clone detach abs neg square",
        _same,
    ),
    **_named("conv1d conv2d conv3d", _convolution),
    **_named("linear", _linear),
    **_named("batch_norm", _batch_norm),
    **_named("add add_ sub sub_ mul mul_ div div_ maximum minimum", _both),
    **_named(
        "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d"
        " adaptive_avg_pool3d adaptive_max_pool2d upsample_nearest2d upsample_bilinear2d",
        _pooled,
    ),
    **_named("flatten view reshape", _reshape),
    **_named("permute transpose", _moved),
    aten.mean.dim: _mean,
    aten.sym_size.int: _measured,
}
