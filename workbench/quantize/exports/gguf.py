"""GGUF with the ternary block types of ggml: TQ2_0 (2.0625 bits a weight) and TQ1_0 (1.6875).

A block is 256 weights of a row with one float16 scale::

    TQ2_0    64 bytes: half h (128 weights), byte j: weights j, j+32, j+64, j+96 of the half in bits 0, 2, 4, 6; scale
    TQ1_0    48 bytes of five trits (strides 32 and then 16), 4 bytes of four (stride 4); scale

A byte of TQ1_0 holds its trits as a base-3 fraction: ``ceil(value * 256 / 243)``, most significant first. Tensors
whose rows are no multiple of 256 are written as float16. Needs the package ``gguf`` for the container.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from workbench.atomic import disk_guard
from workbench.errors import missing_dependency

from .weights import TernaryWeight, Weights

BLOCK = 256
ARCHITECTURE = "workbench"
"""Names in the file are the module's own; an engine that runs GGUF by architecture must map them first."""

Type = Literal["tq2_0", "tq1_0"]
Bytes = NDArray[np.uint8]


def write_gguf(weights: Weights, path: Path, kind: Type) -> dict[str, str]:
    """Write a GGUF file; return tensor names with the type each has there.

    Raises
    ------
    MissingDependency
        If the package ``gguf`` is not installed.
    StorageFull
        If the device is full; an old file is untouched.
    """
    if importlib.util.find_spec("gguf") is None:
        raise missing_dependency("gguf", "interop")
    from gguf import GGMLQuantizationType, GGUFWriter

    fresh = path.with_name(f".{path.name}.part")
    types: dict[str, str] = {}
    with disk_guard(path):
        writer = GGUFWriter(fresh, ARCHITECTURE)
        for name, weight in weights.ternary.items():
            if weight.trits.shape[1] % BLOCK == 0:
                packed = encode(weight, kind)
                writer.add_tensor(name, packed, raw_dtype=GGMLQuantizationType[kind.upper()])
                types[name] = kind
            else:
                writer.add_tensor(name, weight.dense().astype(np.float16))
                types[name] = f"float16, {weight.trits.shape[1]} is no multiple of {BLOCK}"
        for name, (value, form) in weights.widened.items():
            writer.add_tensor(name, value.numpy().astype(np.float16))
            types[name] = f"float16, was {form}"
        for name, other in weights.others.items():
            array = other.detach().float().numpy() if other.is_floating_point() else other.numpy()
            writer.add_tensor(name, np.ascontiguousarray(np.atleast_1d(array)))
            types[name] = str(array.dtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        fresh.replace(path)
    return types


def encode(weight: TernaryWeight, kind: Type) -> Bytes:
    """Return the blocks of a weight as uint8 [N, bytes a row]; its row length is a multiple of 256."""
    rows, columns = weight.trits.shape
    blocks = columns // BLOCK
    codes = (weight.trits + 1).astype(np.uint8).reshape(rows * blocks, BLOCK)
    scale = np.abs(weight.dense()).reshape(rows * blocks, BLOCK).max(1, keepdims=True)
    packed = _two_bits(codes) if kind == "tq2_0" else _base_three(codes)
    whole = np.concatenate([packed, scale.astype(np.float16).view(np.uint8)], axis=1)
    return whole.reshape(rows, -1)


def _two_bits(codes: Bytes) -> Bytes:
    parts: Any = codes.reshape(-1, 2, 4, 32)
    packed: Bytes = parts[:, :, 0] | parts[:, :, 1] << 2 | parts[:, :, 2] << 4 | parts[:, :, 3] << 6
    return packed.reshape(-1, 64)


def _base_three(codes: Bytes) -> Bytes:
    wide = codes.astype(np.uint16)
    powers = np.array([81, 27, 9, 3, 1], dtype=np.uint16)
    long = (wide[:, :160].reshape(-1, 5, 32) * powers[:, None]).sum(1)
    short = (wide[:, 160:240].reshape(-1, 5, 16) * powers[:, None]).sum(1)
    rest = (wide[:, 240:].reshape(-1, 4, 4) * powers[:4, None]).sum(1)
    values = np.concatenate([long, short, rest], axis=1)
    return ((values * 256 + 242) // 243).astype(np.uint8)
