"""What others read of a ternary variant: GGUF blocks as gguf-py makes them, transformers' bitnet, one ONNX file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from workbench import api
from workbench.errors import InputError, QuantizeError
from workbench.program import read_examples
from workbench.quantize import QuantizeConfig, TernaryConfig, quantize_program
from workbench.quantize.exports.bitnet import write_bitnet
from workbench.quantize.exports.gguf import encode, write_gguf
from workbench.quantize.exports.weights import TernaryWeight, read_weights
from workbench.store import ArtifactDraft, Store

from .test_layer_kinds import captured

TENSOR = TernaryConfig("absmean", "tensor", ends="ternary")


def variant(folder: Path, module: nn.Module, example: torch.Tensor, **config: Any) -> Path:
    program, out = captured(folder / "program", module, example), folder / "variant"
    out.mkdir()
    quantize_program(program, out, QuantizeConfig("ternary", **config))
    return out


class Mixed(nn.Module):
    """One layer of each kind of weight a file has to hold."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.wide, self.narrow = nn.Embedding(12, 256), nn.Linear(256, 8), nn.Linear(8, 8)
        self.conv, self.head = nn.Conv1d(5, 4, 3), nn.Linear(6, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(self.narrow(self.wide(self.table(ids)))))


@pytest.mark.parametrize("kind", ["tq2_0", "tq1_0"])
def test_blocks_are_those_of_gguf_py(kind: Any) -> None:
    quants = pytest.importorskip("gguf").quants
    from gguf import GGMLQuantizationType

    rng = np.random.default_rng(0)
    trits = rng.integers(-1, 2, (6, 768)).astype(np.int8)
    trits[2, 256:512] = 0  # a block of zeros
    for scale in (rng.random((6, 1), np.float32), rng.random((6, 3), np.float32)):
        weight = TernaryWeight(trits, scale, linear=True)
        expected = quants.quantize(weight.dense(), GGMLQuantizationType[kind.upper()])
        assert np.array_equal(encode(weight, kind), expected)
        back = quants.dequantize(expected, GGMLQuantizationType[kind.upper()])
        np.testing.assert_allclose(back, weight.dense(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["tq2_0", "tq1_0"])
def test_a_gguf_file_holds_every_tensor(kind: Any, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    out = variant(tmp_path, Mixed(), torch.randint(0, 12, (2, 5)))
    weights = read_weights(out)
    types = write_gguf(weights, tmp_path / "m.gguf", kind)
    tensors = {t.name: t for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert set(tensors) == set(types)
    assert {n.removesuffix(".weight") for n in types if "weight" in n} == {
        "table",
        "wide",
        "narrow",
        "conv",
        "head",
    }
    assert types["wide.weight"] == kind
    assert tensors["wide.weight"].tensor_type.name == kind.upper()
    assert types["narrow.weight"].startswith("float16, 8 is no multiple")
    assert types["table.weight"] == "float16, was int8"
    restored = gguf.quants.dequantize(tensors["wide.weight"].data, tensors["wide.weight"].tensor_type)
    np.testing.assert_allclose(restored, weights.ternary["wide.weight"].dense(), rtol=1e-3, atol=1e-6)


def test_names_lose_a_wrapper_s_lead(tmp_path: Path) -> None:
    out = variant(tmp_path, nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))), torch.zeros(1, 4))
    assert set(read_weights(out).others) == {"0.bias", "1.bias"}


LOAD = """
    import sys, torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
    kinds = [type(m).__name__ for m in model.modules()]
    held = load_file(sys.argv[2])
    with torch.no_grad():
        logits = model(held["ids"]).logits
    worst = float((logits - held["logits"]).abs().max() / held["logits"].abs().max())
    print(kinds.count("BitLinear"), worst)
"""
BUILD = """
    import sys, torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from pathlib import Path
    from safetensors.torch import save_file
    from workbench.capture import capture_module
    from workbench.quantize import QuantizeConfig, TernaryConfig, quantize_program
    from workbench.quantize.exports.bitnet import write_bitnet
    from workbench.quantize.exports.weights import read_weights
    from workbench.program import read_examples

    class Logits(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, ids):
            return self.model(ids, use_cache=False).logits

    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False)
    root = Path(sys.argv[1])
    config.save_pretrained(root)
    program, variant, out = root / "program", root / "variant", root / "out"
    program.mkdir(), variant.mkdir()
    ids = torch.randint(0, 64, (2, 7))
    capture_module(Logits(LlamaForCausalLM(config)).eval(), (ids,), program, dynamic="none")
    ternary = TernaryConfig("absmean", "tensor", ends="float")
    quantize_program(program, variant, QuantizeConfig("ternary", ternary=ternary, skip=("*lm_head", "*embed*")))
    write_bitnet(read_weights(variant), out, root / "config.json")
    (logits,) = read_examples(variant).outputs.values()
    save_file({"ids": ids, "logits": torch.from_numpy(logits)}, root / "expected.safetensors")
"""


@pytest.mark.slow
def test_transformers_loads_it_and_agrees(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    # Compiled, its three small functions would take minutes and a C++ compiler.
    environment = {**os.environ, "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"}

    def run(source: str, *args: str, **more: str) -> str:
        command = [sys.executable, "-c", textwrap.dedent(source), *args]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**environment, **more}, timeout=280
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    run(BUILD, str(tmp_path), TORCHDYNAMO_DISABLE="0")
    layers, worst = run(LOAD, str(tmp_path / "out"), str(tmp_path / "expected.safetensors")).split()[-2:]
    # Of 14 projections the first and the last stayed in float.
    assert int(layers) == 12
    assert float(worst) < 1e-6


@pytest.mark.parametrize(
    ("module", "config", "text"),
    [
        (nn.Linear(8, 8), {"ternary": TernaryConfig(ends="ternary")}, "one scale a tensor"),
        (nn.Linear(8, 6), {"ternary": TENSOR}, "multiple of 4 outputs"),
        (nn.Conv1d(8, 4, 1), {"ternary": TENSOR}, "linear layers only"),
    ],
)
def test_what_bitnet_cannot_hold(module: nn.Module, config: Any, text: str, tmp_path: Path) -> None:
    x = torch.randn(2, 8, 8)
    weights = read_weights(variant(tmp_path, module, x, **config))
    with pytest.raises(QuantizeError, match=text) as caught:
        write_bitnet(weights, tmp_path / "out")
    assert "quantize again" in caught.value.fix


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def put(store: Store, folder: Path) -> None:
    store.names.set("m:ternary", store.artifacts.put(ArtifactDraft("variant", folder)))


def test_one_onnx_file_that_stock_onnxruntime_runs(store: Store, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    import onnx

    out = variant(tmp_path, nn.Linear(256, 32), torch.randn(3, 256), ternary=TENSOR)
    put(store, out)
    result = api.export("m:ternary", tmp_path / "m.onnx", store=store)
    assert result.bytes == (tmp_path / "m.onnx").stat().st_size < 32 * 256  # less than a byte a weight
    (node,) = [n for n in onnx.load(tmp_path / "m.onnx").graph.node if n.op_type == "MatMulNBits"]
    bits = {a.name: a.i for a in node.attribute}
    assert (bits["bits"], bits["block_size"], bits["K"], bits["N"]) == (2, 128, 256, 32)
    examples = read_examples(out)
    (given,) = onnxruntime.InferenceSession(str(tmp_path / "m.onnx")).run(None, dict(examples.inputs))
    (expected,) = examples.outputs.values()
    assert np.abs(given - expected).max() < 0.03 * np.abs(expected).max()


def test_the_end_of_the_file_says_the_format(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    put(store, variant(tmp_path, nn.Linear(256, 8), torch.randn(3, 256), ternary=TENSOR))
    assert api.export("m:ternary", tmp_path / "m.gguf", store=store).format == "tq2_0"
    assert api.export("m:ternary", tmp_path / "m.gguf", form="tq1_0", store=store).format == "tq1_0"
    assert api.export("m:ternary", tmp_path / "hf", store=store).format == "bitnet"
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "bitnet"
    with pytest.raises(InputError, match="does not say what to write"):
        api.export("m:ternary", tmp_path / "m.bin", store=store)
    with pytest.raises(InputError, match="cannot be read"):
        api.export("m:ternary", tmp_path / "hf", config=tmp_path / "none.json", store=store)


def test_a_program_without_ternary_layers(store: Store, tmp_path: Path) -> None:
    program = captured(tmp_path / "program", nn.Linear(4, 4), torch.zeros(1, 4))
    store.names.set("m", store.artifacts.put(ArtifactDraft("program", program)))
    with pytest.raises(InputError, match="no ternary layer"):
        api.export("m", tmp_path / "m.gguf", store=store)
