"""LSTM and GRU: a loop over time in C, so that any number of steps runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy

from ....errors import CompileError
from ..emitter import Emitter
from ..lazy import leaf
from ..registry import Operation, operator
from ..tensors import Tensor
from .convolution import write_settings
from .integer import known
from .matmul import suffix, write_panels

_GATES = {"lstm": 4, "gru": 3}
_STEPS = 32  # at once, the most that runtime/recurrent.h makes the gates of x for


@dataclass(frozen=True)
class _Layer:
    """Where one direction of one layer reads and writes."""

    index: int
    x: Tensor
    y: Tensor
    states: tuple[Tensor, ...]
    parameters: list[Any]
    reverse: bool


@operator("aten.lstm.input", "aten.gru.input")
def recurrent(emitter: Emitter, node: Operation) -> tuple[Tensor, ...]:
    """Write all layers and directions of a recurrent module."""
    kind = str(node.target).split(".")[1]
    source, state, parameters, biased, layers, dropout, train, both, batch_first = node.args
    if train and dropout:
        raise CompileError(
            "a recurrent layer with dropout is not written", fix="capture it after module.eval()"
        )
    directions = 2 if both else 1
    per = 4 if biased else 2
    assert isinstance(parameters, list | tuple)
    if len(parameters) != int(layers) * directions * per:
        raise CompileError("an LSTM with a projection is not written", fix="use the backend onnxruntime")
    states = tuple(
        emitter.materialize(leaf(emitter.tensor(each)), node)
        for each in (state if isinstance(state, list | tuple) else [state])
    )
    x = emitter.tensor(source)
    x = x if x.strides[-1] == 1 else emitter.copy(x, node)
    for layer in range(int(layers)):
        y = emitter.scratch((*x.shape[:-1], states[0].shape[-1] * directions), x.dtype)
        for direction in range(directions):
            index = layer * directions + direction
            given = list(parameters[index * per : (index + 1) * per])
            each = _Layer(index, x, y, states, given, bool(direction))
            _write(emitter, node, kind, each, batch_first=bool(batch_first))
        x = y
    return (x, *states)


def _write(emitter: Emitter, node: Operation, kind: str, layer: _Layer, *, batch_first: bool) -> None:
    """Write one direction of one layer."""
    time, batch = (1, 0) if batch_first else (0, 1)
    weights = [known(emitter, parameter) for parameter in layer.parameters]
    states = [state.select(0, sympy.Integer(layer.index)) for state in layer.states]
    width = states[0].shape[-1]
    direction = "backward" if layer.reverse else "forward"
    function = emitter.function(node, f"{kind}_{layer.index}_{direction}")
    pointers = [function.read(layer.x, "x")]
    pointers += [
        function.read(write_panels(emitter, w.t()), n)
        for w, n in zip(weights, ("input", "state"), strict=False)
    ]
    biases = [
        function.read(emitter.stored(w), n) for w, n in zip(weights[2:], ("bias_x", "bias_h"), strict=False)
    ]
    pointers += biases or ["0", "0"]
    pointers += [function.write(state, name) for state, name in zip(states, "hc", strict=False)]
    rows = (1 + sympy.Min(layer.x.shape[time], _STEPS)) * layer.x.shape[batch]
    work = emitter.scratch((_GATES[kind] * rows * width,), layer.x.dtype)
    pointers.append(function.write(work, "work"))
    target = layer.y.slice(2, width if layer.reverse else sympy.Integer(0), width)
    pointers.append(function.write(target))
    fields = {
        "steps": layer.x.shape[time], "batch": layer.x.shape[batch], "in": layer.x.shape[2], "width": width,
        "x": [layer.x.strides[time], layer.x.strides[batch]],
        "y": [target.strides[time], target.strides[batch]],
        "reverse": int(layer.reverse),
    }  # fmt: skip
    write_settings(function, "recurrent", fields)
    function.call(f"{kind}_{suffix(layer.x)}", "&settings", *pointers)
    emitter.add(function)
