"""Walks a lowered program and writes a C function for every operator, or for every chain of elementwise ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ...errors import CompileError, WorkbenchError
from ...kernels import choose
from ...types import Signature
from ..places import module_of, module_path
from .fold import compute, is_foldable, is_worth_it, parameters
from .function import Function
from .halves import half_of, widened
from .lazy import LONGEST, Lazy, combine, leaf, write_loop
from .registry import operators
from .sizes import Shape, Sizes, product
from .tensors import C_TYPES, Buffer, Tensor, whole
from .weights import Weights, to_array

Value = Tensor | Lazy


class Emitter:
    """Turns a program into functions over buffers.

    Parameters
    ----------
    program
        In operators that ``ops/`` knows, none of its values in half precision.
    signature
        Names its inputs, outputs and sizes.
    target
        The name of the target: kernels may differ by it.
    """

    def __init__(self, program: ExportedProgram, signature: Signature, target: str) -> None:
        self.signature = signature
        self.target = target
        self.weights = Weights()
        self.functions: list[Function] = []
        self._program = program
        self._values: dict[Node, Any] = {}
        self._constants: dict[Node, torch.Tensor] = {}
        self._inputs = self._placeholders()
        self.sizes = Sizes(program, signature, self._inputs)
        self.input_shapes = [self._input(i, node) for i, node in enumerate(self._inputs)]
        self.output_shapes: list[Shape] = []

    def run(self) -> None:
        """Walk the graph."""
        for node in self._program.graph.nodes:
            if node.op == "call_function":
                self._visit(node)
        results = self._program.graph.output_node().args[0]
        assert isinstance(results, tuple | list)
        for index, result in enumerate(r for r in results if isinstance(r, Node)):
            self._output(index, result)

    def _visit(self, node: Node) -> None:
        if not isinstance(node.meta.get("val"), torch.Tensor | tuple | list):
            return  # a size, whose expression is asked for where it is needed, or an assertion about one
        try:
            if node in self._values or self._fold(node):
                return
            if getattr(node.target, "__name__", "") == "getitem":
                self._values[node] = self._values[node.args[0]][node.args[1]]  # type: ignore[index]
            else:
                self._values[node] = operators()[str(node.target)](self, node)
        except WorkbenchError as error:
            error.where = error.where or module_of(node)
            raise

    @cached_property
    def ternary_layout(self) -> str:
        """The layout of all ternary linear weights: a run reads all of them before it reads one again."""
        nodes = (n for n in self._program.graph.nodes if str(n.target) == "workbench.linear_ternary.default")
        return choose(sum(n.args[1].meta["val"].numel() * 4 for n in nodes), target=self.target).layout

    def skip(self, node: Node, value: Any) -> None:
        """Give a node its value before it is visited: another operator did its work."""
        self._values[node] = value

    def constant(self, node: object) -> torch.Tensor | None:
        """Return the value of a node that is known now, or None."""
        return self._constants.get(node) if isinstance(node, Node) else None

    def tensor(self, node: Node) -> Tensor:
        """Return what a node stands for, in memory."""
        value = self.value(node)
        if isinstance(value, Lazy):
            value = self._values[node] = self.materialize(value, node)
        return value

    def rows(self, node: Node) -> Tensor:
        """Return what a node stands for, with its last axis in one piece and all rows at one distance."""
        value = self.tensor(node)
        return value if value.rows() else self.contiguous(node)

    def contiguous(self, node: Node) -> Tensor:
        """Return what a node stands for, its elements in order without gaps."""
        value = self.tensor(node)
        return value if value.is_contiguous else self.copy(value, node)

    def copy(self, value: Tensor, node: Node) -> Tensor:
        """Return a copy in order."""
        return self.materialize(leaf(value), node)

    def value(self, node: Node) -> Value:
        """Return what a node stands for: a tensor or an expression."""
        if node not in self._values and node in self._constants:
            self._values[node] = self.stored(self._constants[node])
        value: Value = self._values[node]
        return value

    def stored(self, constant: torch.Tensor) -> Tensor:
        """Put a constant into the weights."""
        shape = tuple(sympy.Integer(size) for size in constant.shape)
        _check_dtype(constant.dtype)
        return whole(self.weights.add(to_array(constant)), shape)

    def size(self, value: Any) -> sympy.Expr:
        """Return an integer argument, or the size a node stands for."""
        return self.sizes.of(value.meta["val"] if isinstance(value, Node) else value)

    def shape(self, node: Node, item: int | None = None) -> Shape:
        """Return the shape of a node's value (of one item of it)."""
        value = node.meta["val"]
        return self.sizes.shape(value if item is None else value[item])

    def new(self, node: Node, item: int | None = None) -> Tensor:
        """Return memory for a node's value (for one item of it)."""
        value = node.meta["val"] if item is None else node.meta["val"][item]
        return self.scratch(self.sizes.shape(value), dtype_of(value))

    def scratch(self, shape: Iterable[sympy.Expr], dtype: str) -> Tensor:
        """Return memory."""
        shape = tuple(sympy.sympify(size) for size in shape)
        self._buffers = getattr(self, "_buffers", 0) + 1
        return whole(Buffer(f"b{self._buffers}", "arena", dtype, product(shape)), shape)

    def function(self, node: Node, label: str = "") -> Function:
        """Begin a function for a node; :meth:`add` ends it."""
        operator = re.sub(r"\.(default|Tensor|int)$", "", str(node.target)).partition(".")[2]
        label = label or operator or "operator"
        path = re.sub(r"\W+", "_", module_path(node)).strip("_")
        name = f"op{len(self.functions)}_" + "_".join(word for word in (path, label) if word)
        value = node.meta.get("val")
        shape = list(self.shape(node)) if isinstance(value, torch.Tensor) else "several"
        return Function(
            name[:96].replace(".", "_"), f"{module_of(node)}: {node.target} -> {shape} [{node.name}]"
        )

    def add(self, function: Function) -> None:
        """Add a finished function to the calls of the model."""
        self.functions.append(function)

    def materialize(self, value: Lazy, node: Node, target: Tensor | None = None) -> Tensor:
        """Write the loop that computes an expression, into new memory or where it is told to."""
        target = target or self.scratch(value.shape, value.dtype)
        chained = "copy" if value.code == "@0@" else ""
        function = self.function(node, chained)
        write_loop(function, target, value)
        self.add(function)
        return target

    def fused(self, node: Node, value: Lazy) -> Value:
        """Return an expression as it is if its one reader can take it up, else compute it now."""
        readers = list(node.users)
        if len(readers) == 1 and len(value.code) < LONGEST:
            reader = readers[0]
            elementwise = getattr(operators().get(str(reader.target)), "elementwise", False)
            once = sum(argument is node for argument in reader.args) == 1
            if elementwise and once and self.shape(reader) == value.shape:
                return value
        return self.materialize(value, node)

    def _placeholders(self) -> list[Node]:
        """Take parameters, buffers and constants; return the inputs a caller fills."""
        program = self._program
        for node, spec in parameters(program):
            state: Any = program.state_dict.get(str(spec.target), program.constants.get(str(spec.target)))
            self._constants[node] = widened(state.detach())
        nodes = [
            node for node in program.graph.nodes if node.op == "placeholder" and node not in self._constants
        ]
        return [node for node in nodes if isinstance(node.meta.get("val"), torch.Tensor)]

    def _input(self, index: int, node: Node) -> Shape:
        shape = self.shape(node)
        half = half_of(node)
        buffer = Buffer(f"inputs[{index}]", "input", half or dtype_of(node.meta["val"]), product(shape))
        value = whole(buffer, shape)
        self._values[node] = value
        if half:
            wide = combine("float32", shape, "float_of_half({0})", [leaf(value)])
            self._values[node] = self.fused(node, wide)
        return shape

    def _output(self, index: int, node: Node) -> None:
        """Let the last function write the output where the caller wants it, or copy it there."""
        value = self.tensor(node)
        if half_of(node):
            narrow = combine("float16", value.shape, "half_of_float({0})", [leaf(value)])
            value = self.materialize(narrow, node)
        if value.buffer.kind == "arena" and value.is_whole:
            buffer = value.buffer
        else:
            buffer = self.scratch(value.shape, value.dtype).buffer
            self.materialize(leaf(value), node, whole(buffer, value.shape))
        buffer.kind, buffer.name = "output", f"outputs[{index}]"
        self.output_shapes.append(value.shape)

    def _fold(self, node: Node) -> bool:
        """Compute a node whose inputs are all known."""
        if not is_foldable(node, self._constants):
            return False
        if str(node.target) in operators() and not is_worth_it(node):
            return False
        self._constants[node] = widened(compute(node, self._constants))
        return True


def dtype_of(value: torch.Tensor) -> str:
    """Return a tensor's dtype by numpy's name.

    Raises
    ------
    CompileError
        If C has no such type everywhere.
    """
    return _check_dtype(value.dtype)


def _check_dtype(dtype: torch.dtype) -> str:
    name = str(dtype).removeprefix("torch.")
    if name not in C_TYPES:
        raise CompileError(
            f"tensors of {name} have no C type on every target",
            fix="use the backend onnxruntime, or convert the module to float32 before you capture it",
        )
    return name


def axes(values: Any, rank: int) -> list[int]:
    """Return axes counted from the front; all of them for None or an empty list."""
    given = [values] if isinstance(values, int) else list(values or range(rank))
    return sorted(axis % max(rank, 1) for axis in given)
