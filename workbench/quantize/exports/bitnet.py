"""Hugging Face ``quant_method: bitnet``: what ``AutoModelForCausalLM.from_pretrained`` loads as ``BitLinear`` layers.

``<layer>.weight`` is uint8 [N / 4, K]: row ``i * N / 4 + j`` lies in bits ``2 i`` of row ``j``, value t + 1;
``<layer>.weight_scale`` is one number that the layer divides by. Every other linear layer must be named in
``modules_to_not_convert``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.atomic import disk_guard, write_bytes
from workbench.errors import InputError, QuantizeError

from .weights import TernaryWeight, Weights

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"


def write_bitnet(weights: Weights, folder: Path, config: Path | None = None) -> dict[str, str]:
    """Write ``model.safetensors`` and ``config.json``; return tensor names with the type each has there.

    Parameters
    ----------
    weights
        Of the variant.
    folder
        Where to; made when absent.
    config
        The ``config.json`` of the model that was captured; without it the file holds the quantization alone.

    Raises
    ------
    QuantizeError
        If a layer has no form there: names it and what to quantize with.
    InputError
        If `config` is no JSON object.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    types: dict[str, str] = {}
    for name, weight in weights.ternary.items():
        tensors[name] = torch.from_numpy(_packed(name, weight))
        # The layer computes y / (activation scale * this).
        tensors[name + "_scale"] = torch.tensor([1.0 / weight.scale[0, 0]], dtype=torch.float32)
        types[name] = "2 bits"
    for name, (value, form) in weights.widened.items():
        tensors[name], types[name] = value, f"float32, was {form}"
    for name, value in weights.others.items():
        tensors[name], types[name] = value, str(value.dtype).removeprefix("torch.")
    facts = _config(config)
    kept = [
        name.removesuffix(".weight")
        for name in types
        if types[name] != "2 bits" and _is_matrix(tensors[name])
    ]
    facts["quantization_config"] = {
        "quant_method": "bitnet",
        "linear_class": "bitlinear",
        "quantization_mode": "offline",
        "modules_to_not_convert": sorted({name for name in kept if "embed" not in name} | {"lm_head"}),
    }
    with disk_guard(folder):
        folder.mkdir(parents=True, exist_ok=True)
        content = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
        write_bytes(folder / MODEL_FILE, save(content, {"format": "pt"}))
        write_bytes(folder / CONFIG_FILE, (json.dumps(facts, indent=2) + "\n").encode())
    return types


def _packed(name: str, weight: TernaryWeight) -> np.ndarray[Any, Any]:
    rows = len(weight.trits)
    if not weight.linear:
        raise QuantizeError(
            f"the bitnet format holds linear layers only; {name} is another",
            where=name,
            fix=f'quantize again with --skip "{name.removesuffix(".weight")}"',
        )
    if weight.scale.min() != weight.scale.max():
        raise QuantizeError(
            f"the bitnet format has one scale a tensor; {name} has {weight.scale.size}",
            where=name,
            fix="quantize again with --granularity tensor",
        )
    if rows % 4:
        raise QuantizeError(
            f"the bitnet format needs a multiple of 4 outputs; {name} has {rows}",
            where=name,
            fix=f'quantize again with --skip "{name.removesuffix(".weight")}"',
        )
    quarters: Any = (weight.trits + 1).astype(np.uint8).reshape(4, rows // 4, -1)
    packed: np.ndarray[Any, Any] = quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6
    return packed


def _config(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        form = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"the config cannot be read: {error}",
            where=str(path),
            fix="--config FILE, the config.json of the model's Hugging Face folder",
        ) from error
    if not isinstance(form, dict):
        raise InputError("the config is no JSON object", where=str(path))
    return form


def _is_matrix(value: Tensor) -> bool:
    return value.dim() == 2
