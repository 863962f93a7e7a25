"""Which operators our kernels serve inside a TVM module: a call by name instead of a schedule of TVM's.

TVM's default schedule of a product or convolution is a plain loop nest, 10 to 100 times slower than these; its tuned
ones win on some shapes, so a tuned module is built both ways (:mod:`.tuning`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy

from ...errors import CompileError
from ...kernels import ConvGeometry, pack, pack_conv
from ..emit.fold import compute, is_foldable, parameters
from ..emit.ops.convolution import two
from ..emit.weights import panels, to_array
from . import rows
from .values import call, const, given, integers, rank, shape, sizes

Converter = Callable[[Any, Any], Any]
"""Takes a node and TVM's importer, returns the Relax variable."""

KEPT = (
    "aten.linear.default",
    "workbench.linear_ternary.default",
    "workbench.conv_ternary.default",
    "workbench.linear_dynamic.default",
    "workbench.linear_static.default",
)
"""Operators that are not decomposed when our kernels are linked in."""


class Unconvertible(Exception):
    """No converter takes a node."""

    def __init__(self, node: Any) -> None:
        super().__init__(str(node.target))
        self.node = node


class Linker:
    """Writes the calls of one program.

    Parameters
    ----------
    program
        A decomposed torch program.
    linked
        False: TVM's own operators only, but for look-ups, which are made safe in either case.
    theirs
        Names of operators that TVM's schedules serve all the same.
    """

    def __init__(self, program: Any, linked: bool, theirs: Collection[str] = ()) -> None:
        self._program = program
        self._linked = linked
        self._left = frozenset(theirs)
        self._map: Any = None
        self._known = _Constants(program)

    def converters(self) -> dict[str, Converter]:
        """Return a converter for every operator of the program, as TVM's importer takes them."""
        chosen: dict[str, Converter] = {
            "embedding.default": self._embedding,
            "amin.default": _least,
            "amax.default": _largest,
        }
        if self._linked:
            chosen |= {
                "linear.default": self._linear,
                "bmm.default": self._bmm,
                "convolution.default": self._convolution,
                "linear_ternary.default": self._linear_ternary,
                "conv_ternary.default": self._conv_ternary,
                "linear_dynamic.default": self._linear_dynamic,
                "linear_static.default": self._linear_static,
                "scaled_dot_product_attention.default": self._walk(rows.attention),
                "layer_norm.default": self._walk(rows.layer_norm),
                "gelu.default": self._walk(rows.gelu),
                "_softmax.default": self._walk(rows.softmax),
            }
        names = {n.target.__name__ for n in self._program.graph.nodes if n.op == "call_function"}
        return {name: self._converter(name, chosen.get(name)) for name in names}

    def _walk(self, ours: Callable[[Any, Any, Callable[[Any], Any]], Any]) -> Converter:
        """Return a converter that goes TVM's way where ours does not fit."""
        return lambda node, importer: ours(node, importer, self._theirs(importer)[node.target.__name__])

    def _converter(self, name: str, ours: Converter | None) -> Converter:
        """Return what converts an operator: to a constant if it is known, else our way, else TVM's."""

        def convert(node: Any, importer: Any) -> Any:
            if self._known.has(node):
                needed = not all(self._known.has(user) for user in node.users)
                return const(self._known.array(node)) if needed else None
            if ours is not None and node.name not in self._left:
                return ours(node, importer)
            theirs = self._theirs(importer).get(name)
            if theirs is None:
                raise Unconvertible(node)
            return theirs(node)

        return convert

    def _theirs(self, importer: Any) -> Any:
        if self._map is None:
            self._map = importer.create_convert_map()
        return self._map

    def _embedding(self, node: Any, importer: Any) -> Any:
        """Give NaN where an index names no row: TVM's own ways read whatever lies there, or crash."""
        from tvm import relax

        table, ids = importer.retrieve_args(node)[:2]
        op, emit = relax.op, importer.block_builder.emit
        last = int(table.ty.shape[0]) - 1
        wide = emit(op.astype(ids, "int64"))
        inside = emit(op.clip(wide, 0, last))
        rows = emit(op.take(table, inside, axis=0, mode="fast"))
        valid = emit(op.expand_dims(op.equal(wide, inside), -1))
        return emit(op.where(valid, rows, relax.const(float("nan"), str(table.ty.dtype))))

    def _linear(self, node: Any, importer: Any) -> Any:
        from tvm import relax

        x, weight, *rest = importer.retrieve_args(node)
        bias = rest[0] if rest else None
        matrix = self._known.array(node.args[1])
        if matrix is None or str(matrix.dtype) != "float32" or rank(x) < 2:
            dtype = str(x.ty.dtype)
            return importer.block_builder.emit(relax.op.linear(x, weight, bias, dtype))
        arguments = [x, relax.const(panels(matrix.T)), *given(bias)]
        return call(importer, "mlops_linear_f32", arguments, [*shape(x)[:-1], matrix.shape[0]])

    def _bmm(self, node: Any, importer: Any) -> Any:
        from tvm import relax

        a, b = importer.retrieve_args(node)
        if str(a.ty.dtype) != "float32":
            return importer.block_builder.emit(relax.op.matmul(a, b))
        return call(importer, "mlops_matmul_f32", [a, b], [*shape(a)[:-1], shape(b)[-1]])

    def _convolution(self, node: Any, importer: Any) -> Any:
        x, weight, bias, stride, padding, dilation, transposed, _, groups = node.args
        axes = len(stride)
        image, matrix = importer.env[x], self._known.array(weight)
        result = sizes(node, image)
        wanted = matrix is not None and str(matrix.dtype) == "float32" and not transposed and axes < 3
        if not wanted or matrix is None or result is None:
            return self._theirs(importer)["convolution.default"](node)
        outputs, inputs, *kernel = matrix.shape
        fields = [
            groups, inputs, outputs // groups, axes,
            *two(kernel, 1), *two(stride, 1), *two(padding, 0), *two(dilation, 1),
        ]  # fmt: skip
        arguments = [image, const(matrix), *given(None if bias is None else importer.env[bias])]
        return call(importer, "mlops_convolution_f32", [*arguments, integers(fields)], result)

    def _linear_ternary(self, node: Any, importer: Any) -> Any:
        x, codes, scale, bias, features = node.args
        codes, scale = self._known.array(codes), self._known.array(scale)
        packed = pack(codes, int(features), groups=scale.shape[1])
        fields = [packed.n, packed.k, packed.groups, 2]
        value = importer.env[x]
        arguments = [value, const(packed.data), const(scale), integers(fields), *self._bias(bias)]
        return call(importer, "mlops_linear_ternary", arguments, [*shape(value)[:-1], packed.n])

    def _conv_ternary(self, node: Any, importer: Any) -> Any:
        x, codes, scale, bias, kernel, stride, padding, dilation, groups = node.args
        geometry = ConvGeometry(tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), int(groups))
        image = importer.env[x]
        packed = pack_conv(self._known.array(codes), int(shape(image)[1]), geometry)
        layout = {"t2": 2, "t5": 5, "s8": 8}[packed.layout]
        fields = [
            packed.n, packed.k, packed.groups, layout, packed.count, len(kernel), int(groups),
            *two(kernel, 1), *two(stride, 1), *two(padding, 0), *two(dilation, 1),
        ]  # fmt: skip
        scales = self._known.array(scale).reshape(-1)
        arguments = [image, const(packed.data), const(scales), integers(fields), *self._bias(bias)]
        result = sizes(node, image)
        if result is None:
            raise CompileError(
                "a ternary convolution of images of changing size is not linked into TVM",
                where=str(node),
                fix="use the backend ternary, or --option kernels=tvm",
            )
        return call(importer, "mlops_conv_ternary", arguments, result)

    def _linear_dynamic(self, node: Any, importer: Any) -> Any:
        x, w_q, w_scale, *rest = node.args
        weight, scale = self._known.array(w_q), self._known.array(w_scale)
        sums = (weight.astype("float32") * scale[:, None]).sum(-1, dtype="float32")
        return self._integer(importer, "mlops_linear_dynamic", x, (weight, scale, sums), rest, [])

    def _linear_static(self, node: Any, importer: Any) -> Any:
        x, step, zero_point, w_q, w_scale, *rest = node.args
        weight, scale = self._known.array(w_q), self._known.array(w_scale)
        grid = [const(numpy.array([step], "float32")), const(numpy.array([zero_point], "int32"))]
        sums = weight.sum(-1, dtype="int32")
        return self._integer(importer, "mlops_linear_static", x, (weight, scale, sums), rest, grid)

    def _integer(
        self, importer: Any, name: str, x: Any, constants: Sequence[Any], rest: Sequence[Any], grid: list[Any]
    ) -> Any:
        value = importer.env[x]
        arguments = [
            value,
            *(const(each) for each in constants),
            *grid,
            *self._bias(rest[0] if rest else None),
        ]
        return call(importer, name, arguments, [*shape(value)[:-1], constants[0].shape[0]])

    def _bias(self, node: Any) -> list[Any]:
        return [] if node is None else [const(self._known.array(node).astype("float32"))]


class _Constants:
    """The values of nodes that are known while compiling, computed when they are asked for."""

    def __init__(self, program: Any) -> None:
        self._values: dict[Any, Any] = {}
        state = {**program.state_dict, **program.constants}
        for node, spec in parameters(program):
            if spec.target in state:
                self._values[node] = state[spec.target]
        self._foldable = set(self._values)
        for node in program.graph.nodes:
            if node.op == "call_function" and is_foldable(node, self._foldable):
                self._foldable.add(node)

    def has(self, node: Any) -> bool:
        """Tell whether a node's value is known."""
        return node in self._foldable

    def array(self, node: Any) -> Any:
        """Return the value of a node as an array, or None if it depends on the inputs."""
        if node not in self._foldable:
            return None
        return to_array(self._tensor(node))

    def _tensor(self, node: Any) -> Any:
        if node not in self._values:
            for source in node.all_input_nodes:
                self._tensor(source)
            self._values[node] = compute(node, self._values)
        return self._values[node]


def _least(node: Any, importer: Any) -> Any:
    return _over(node, importer, "min")


def _largest(node: Any, importer: Any) -> Any:
    return _over(node, importer, "max")


def _over(node: Any, importer: Any, name: str) -> Any:
    """Write a minimum or maximum over axes, which TVM's importer does not know by these names."""
    from tvm import relax

    given: list[Any] = list(node.args)
    axes = list(given[1]) if len(given) > 1 else []
    keep = bool(given[2]) if len(given) > 2 else False
    reduced = getattr(relax.op, name)(importer.env[given[0]], axes or None, keep)
    return importer.block_builder.emit(reduced)
