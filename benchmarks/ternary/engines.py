"""What multiplies the same shape: torch, onnxruntime, the kernels. fp32 activations in, fp32 out, unless said."""

from __future__ import annotations

import ctypes
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from workbench import kernels
from workbench.kernels.features import cache_bytes
from workbench.kernels.packed import PackedTernary, aligned

from . import limits

Call = Callable[[], object]
COLD_BYTES = max(256 * 2**20, 3 * cache_bytes()[1])
"""Weights that a cold engine cycles through: several times the largest cache."""


@dataclass
class Shape:
    """One product: `m` rows of `k` activations, `n` outputs, so many copies of the weight, so many threads."""

    k: int
    n: int
    m: int
    cold: bool
    threads: int = 1

    def copies(self, size: int) -> int:
        """Return how many weights of `size` bytes an engine cycles through."""
        return max(2, COLD_BYTES // size) if self.cold else 1

    def x(self) -> torch.Tensor:
        """Return the same activations for all."""
        return torch.randn(self.m, self.k, generator=torch.Generator().manual_seed(0))

    def codes(self) -> npt.NDArray[np.uint8]:
        """Return random canonical codes; code 3, which is no weight, becomes 2."""
        raw = np.random.default_rng(0).integers(0, 256, (self.n, self.k // 4), np.uint8)
        return np.asarray(raw & ~(raw & (raw >> 1) & 0x55) & 0xFF, np.uint8)


def _cycle(calls: list[Call], keep: object = None) -> Call:
    """Return a call that makes the next of `calls` each time; `keep` lives as long, for those given as addresses."""
    state: dict[str, Any] = {"next": 0, "keep": keep}

    def call() -> object:
        state["next"] = (state["next"] + 1) % len(calls)
        return calls[state["next"]]()

    return call


def torch_float(shape: Shape, dtype: torch.dtype) -> Call:
    """``F.linear`` in fp32 or bf16."""
    x = shape.x().to(dtype)
    size = shape.k * shape.n * x.element_size()
    weights = [torch.randn(shape.n, shape.k).to(dtype) for _ in range(shape.copies(size))]
    return _cycle([functools.partial(torch.nn.functional.linear, x, w) for w in weights])


def torch_dynamic_int8(shape: Shape) -> Call:
    """Dynamically quantized linear layer (fbgemm)."""
    x = shape.x()
    packed = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # deprecated, and still what most people use
        for _ in range(shape.copies(shape.k * shape.n)):
            weight = torch.quantize_per_tensor(torch.randn(shape.n, shape.k), 0.02, 0, torch.qint8)
            packed.append(torch.ops.quantized.linear_prepack(weight, None))
    return _cycle([functools.partial(torch.ops.quantized.linear_dynamic, x, p, True) for p in packed])


def torch_int_mm(shape: Shape) -> Call:
    """``torch._int_mm``: int8 to int32, without quantizing or scaling anything."""
    x = torch.randint(-127, 128, (shape.m, shape.k), dtype=torch.int8)
    weights = [
        torch.randint(-1, 2, (shape.n, shape.k), dtype=torch.int8).t()
        for _ in range(shape.copies(shape.k * shape.n))
    ]
    return _cycle([functools.partial(torch._int_mm, x, w) for w in weights])


def onnxruntime_nbits(shape: Shape, bits: int) -> Call:
    """MatMulNBits, block 128, int8 activations (accuracy level 4)."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    blocks = shape.k // 128
    rng = np.random.default_rng(0)
    b = rng.integers(0, 256, (shape.n, blocks, 128 * bits // 8), np.uint8)
    scales = np.full(shape.n * blocks, 0.01, np.float32)
    node = helper.make_node(
        "MatMulNBits", ["x", "b", "s"], ["y"], domain="com.microsoft",
        K=shape.k, N=shape.n, bits=bits, block_size=128, accuracy_level=4,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [shape.m, shape.k])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape.m, shape.n])],
        [numpy_helper.from_array(b, "b"), numpy_helper.from_array(scales, "s")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = shape.threads
    options.log_severity_level = 3
    text = model.SerializeToString()
    count = shape.copies(b.nbytes)
    feeds = {"x": shape.x().numpy()}
    sessions = [
        onnxruntime.InferenceSession(text, options, providers=["CPUExecutionProvider"]) for _ in range(count)
    ]
    return _cycle([functools.partial(s.run, None, feeds) for s in sessions])


def ours(shape: Shape, layout: str, target: str = "host", *, times: int = 1) -> Call:
    """Call the kernels as compiled models call them, so many times without returning to Python."""
    first = kernels.pack(shape.codes(), shape.k, layout=layout)
    copies = [first]
    for _ in range(shape.copies(first.nbytes) - 1):
        data = aligned(first.nbytes)
        data[:] = first.data
        copies.append(PackedTernary(data, first.n, first.k, 1, layout))
    call = kernels.library(target).calls.tern_linear
    x, y = shape.x().numpy(), np.empty((shape.m, shape.n), np.float32)
    scales = np.full(shape.n, 0.01, np.float32)
    rest = (scales.ctypes.data, None, x.ctypes.data, y.ctypes.data, shape.m, 0, shape.threads)

    def one(packed: PackedTernary) -> Call:
        matrix = ctypes.byref(packed.matrix)
        if times > 1:
            return functools.partial(limits.repeat_linear, call, matrix, *rest, times=times)
        return functools.partial(call, matrix, *rest)

    return _cycle([one(packed) for packed in copies], (copies, x, y, scales))


def reading(shape: Shape, layout: str) -> Call:
    """Only read what :func:`ours` reads."""
    size = kernels.pack(shape.codes(), shape.k, layout=layout).nbytes // 256 * 256
    copies = []
    for _ in range(shape.copies(size)):
        data = aligned(size)
        data[:] = 0x55
        copies.append(data)
    addresses = [data.ctypes.data for data in copies]
    way = limits.fastest_way(addresses if shape.cold else addresses * 100, size)
    return _cycle([functools.partial(limits.read, address, size, way) for address in addresses], copies)


def engines(shape: Shape) -> dict[str, Call]:
    """Return all, by the name they have in the figures."""
    found: dict[str, Call] = {
        "torch_fp32": torch_float(shape, torch.float32),
        "torch_bf16": torch_float(shape, torch.bfloat16),
        "torch_dynamic_int8": torch_dynamic_int8(shape),
        "torch_int_mm": torch_int_mm(shape),
        **{f"ort_{bits}bit": onnxruntime_nbits(shape, bits) for bits in (2, 4, 8)},
        **{layout: ours(shape, layout) for layout in ("t2", "t5")},
    }
    if shape.m == 1 and shape.threads == 1:
        found.update({f"read_{layout}": reading(shape, layout) for layout in ("t2", "t5")})
    return found
