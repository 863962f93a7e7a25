"""Operations and bytes of a program's operators: for backends whose profilers tell times and names, but no shapes.

A row of a profiler names the operators that were fused into it as ``module/value.Kind``. Its operations are theirs
together; its bytes are the tensors that come from outside of them and those that leave.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..program import ONNX_FILE, read_program, read_signature
from .operator_times import Operator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_ADDED = re.compile(r"(\.|/|_nchwc|_token_\d).*$")
"""What lowering and backends append to the name of a value."""
_PRODUCT = re.compile("linear|conv|mm|matmul|attention|int4", re.IGNORECASE)
_RECURRENT = re.compile("lstm|gru|rnn")
_FAR = 3
"""Steps from an activation back to the product it was fused into."""


@dataclass(frozen=True)
class Work:
    """What one operator of a program does in a pass.

    Parameters
    ----------
    flops
        Operations; a multiply-add counts two, any other element written one.
    bytes
        Of what it writes.
    reads
        Bytes it reads, by the name of the operator, input or weight they come from.
    product
        Whether it is a product of matrices or a convolution.
    """

    flops: float
    bytes: float
    reads: Mapping[str, float]
    product: bool = False


def work_of(program: Path, feeds: Mapping[str, Array]) -> dict[str, Work]:
    """Return the work of every operator of a program by its name, for inputs of these sizes. Nothing is computed.

    Parameters
    ----------
    program
        A program or variant folder; an ONNX file tells nothing.
    feeds
        The inputs.

    Raises
    ------
    CorruptArtifact
        If a file is missing or damaged.
    """
    if (program / ONNX_FILE).exists():
        return {}
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    exported, signature = read_program(program), read_signature(program)
    user = set(exported.graph_signature.user_inputs)
    state = {**exported.state_dict, **exported.constants}
    targets = {spec.arg.name: spec.target for spec in exported.graph_signature.input_specs if spec.target}
    given = iter([feeds[spec.name] for spec in signature.inputs])
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        arguments = [
            mode.from_tensor(
                torch.from_numpy(next(given)) if node.name in user else state[targets[node.name]].detach()
            )
            for node in exported.graph.nodes
            if node.op == "placeholder"
        ]
        seen = _Shapes(exported.graph_module)
        seen.run(*arguments)
    found = {
        node.name: _work(node, seen.values)
        for node in exported.graph.nodes
        if node in seen.values and node.args
    }
    outputs = zip(signature.outputs, exported.graph_signature.user_outputs, strict=True)
    return found | {spec.name: found[name] for spec, name in outputs if name in found}


def with_work(found: Sequence[Operator], work: Mapping[str, Work]) -> list[Operator]:
    """Return rows with operations and bytes where they had none; each operator counts in the slowest that names it.

    A kernel may name only the activation behind the product it computes: then the product ahead is its own too.
    """
    first: dict[int, str] = {}  # an output has a second name
    for name, one in work.items():
        first.setdefault(id(one), name)
    own = {name: work[name] for name in first.values()}
    taken: set[str] = set()
    filled = []
    for row in sorted(found, key=lambda row: -row.seconds):
        names = {_ADDED.sub("", name.rpartition("/")[2]) for name in (row.name, *row.akin)}
        named = {first[id(work[name])] for name in names if name in work}
        mine = named - taken
        if _PRODUCT.search(row.kind) and not any(own[name].product for name in named):
            mine |= _ahead(named, own, taken) - taken
        if row.flops is not None or not mine:
            filled.append(row)
            continue
        taken |= mine
        filled.append(replace(row, flops=sum(own[name].flops for name in mine), bytes=_moved(mine, own)))
    return filled


def _ahead(named: set[str], work: Mapping[str, Work], taken: set[str]) -> set[str]:
    """Return the nearest product that what a kernel names is made from, with what lies between; none if it is taken."""
    between, edge = set[str](), set(named)
    for _ in range(_FAR):
        edge = {source for name in edge for source in work[name].reads if source in work}
        between |= edge
        if products := {name for name in edge if work[name].product}:
            return set() if products & taken else between
    return set()


def _moved(mine: set[str], work: Mapping[str, Work]) -> float:
    """Return what enters a group of operators and leaves it, every tensor once."""
    entering = {
        source: size for name in mine for source, size in work[name].reads.items() if source not in mine
    }
    read_inside = {source for name in mine for source in work[name].reads}
    outside = {source for name, one in work.items() if name not in mine for source in one.reads}
    leaving = [work[name].bytes for name in mine if name not in read_inside or name in outside]
    return float(sum(entering.values()) + sum(leaving))


def _Shapes(module: Any) -> Any:  # noqa: N802 - a class that is made when torch is there
    import torch

    class Shapes(torch.fx.Interpreter):
        """Runs a graph on tensors without values and keeps what every operator gives."""

        values: dict[Any, Any]

        def run_node(self, n: Any) -> Any:
            self.values[n] = result = super().run_node(n)
            return result

    made = Shapes(module)
    made.values = {}
    return made


def _work(node: Any, values: Mapping[Any, Any]) -> Work:
    reads = {source.name: _bytes(values.get(source)) for source in node.all_input_nodes}
    product = len(node.all_input_nodes) > 1 and bool(_PRODUCT.search(str(node.target)))
    return Work(_flops(node, values), _bytes(values[node]), reads, product)


def _tensors(value: Any) -> list[Any]:
    parts = value if isinstance(value, tuple | list) else [value]
    return [part for part in parts if hasattr(part, "element_size")]


def _bytes(value: Any) -> float:
    return float(sum(part.numel() * part.element_size() for part in _tensors(value)))


def _flops(node: Any, values: Mapping[Any, Any]) -> float:
    shapes = [tuple(part.shape) for source in node.all_input_nodes for part in _tensors(values.get(source))]
    out = float(sum(part.numel() for part in _tensors(values[node])))
    name = str(node.target)
    if len(shapes) < 2 or not out:
        return out
    first, second = shapes[:2]
    if _RECURRENT.search(name):
        weights = [values.get(one) for one in _leaves(node.args[2:])]
        sizes = [part.numel() for weight in weights for part in _tensors(weight) if part.dim() == 2]
        return 2.0 * float(math.prod(first[:-1])) * float(sum(sizes))
    if "attention" in name:
        return 2.0 * (float(math.prod(first)) + out) * float(second[-2])
    if "conv" in name and _transposed(node, name):
        return 2.0 * float(math.prod(first)) * float(math.prod(second[1:]))
    if "conv" in name:
        kernel = second[1:] if "ternary" not in name else (first[1] // node.args[-1], *node.args[4])
        return 2.0 * out * float(math.prod(int(size) for size in kernel))
    return 2.0 * out * int(first[-1]) if _PRODUCT.search(name) else out


def _leaves(arguments: Any) -> list[Any]:
    from torch.fx import Node
    from torch.utils._pytree import tree_leaves

    return [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Node)]


def _transposed(node: Any, name: str) -> bool:
    return "transpose" in name or ("aten.convolution" in name and bool(node.args[6]))
