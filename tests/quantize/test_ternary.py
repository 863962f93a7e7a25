"""Every kind of layer becomes ternary (or 4 bits), is what its weight says, and means the same in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from workbench.compile import CompileConfig, compile_program, load
from workbench.errors import CompileError, NonFinite, QuantizeError
from workbench.program import read_examples, read_program, runner
from workbench.quantize import QuantizeConfig, QuantizeReport, TernaryConfig, quantize_program

from .test_layer_kinds import KINDS, captured, sqnr_db

# torch's word on a convolution that pads one side more than the other
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

ALL = TernaryConfig(ends="ternary")
MORE = {
    "same padding": (lambda: nn.Conv2d(3, 4, 3, padding="same"), (2, 3, 6, 5)),
    "one side more": (lambda: nn.Conv1d(3, 4, 2, padding="same"), (2, 3, 6)),
    "grouped": (lambda: nn.Conv1d(4, 6, 3, groups=2, stride=2, padding=1), (2, 4, 9)),
    "one weight": (lambda: nn.Linear(1, 1), (3, 1)),
}


def quantized(
    folder: Path, module: nn.Module, example: torch.Tensor, **config: Any
) -> tuple[QuantizeReport, Path, Path]:
    program, variant = captured(folder / "program", module, example), folder / "variant"
    variant.mkdir()
    return quantize_program(program, variant, QuantizeConfig(**config)), program, variant


CASES = [(kind, "ternary") for kind in KINDS | MORE]
CASES += [(kind, "int4") for kind in ("linear", "conv2d", "conv_transpose", "lstm", "attention")]


@pytest.mark.parametrize(("kind", "scheme"), CASES)
def test_every_kind_of_layer(kind: str, scheme: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, shape = (KINDS | MORE)[kind]
    report, program, variant = quantized(tmp_path, make(), torch.randn(shape), scheme=scheme, ternary=ALL)
    assert {row.how for row in report.layers} == {scheme}
    assert report.shares()[scheme] > 0.4
    expected = next(iter(read_examples(program).outputs.values()))
    examples = read_examples(variant)
    assert sqnr_db(expected, next(iter(examples.outputs.values()))) > (1.5 if scheme == "ternary" else 15)
    compiled = tmp_path / "compiled"
    compiled.mkdir()
    compile_program(variant, compiled, CompileConfig())  # raises where onnxruntime and eager differ
    served = next(iter(load(compiled).run(dict(examples.inputs)).values()))
    assert sqnr_db(next(iter(examples.outputs.values())), served) > 25


def names(variant: Path) -> list[str]:
    return [
        node.target.name().removeprefix("workbench::")
        for node in read_program(variant).graph.nodes
        if getattr(node.target, "namespace", "") == "workbench"
    ]


@pytest.mark.parametrize(
    ("kind", "operator"),
    [
        ("linear", "linear_ternary"),
        ("conv1d", "conv_ternary"),
        ("depthwise", "conv_ternary"),
        ("same padding", "conv_ternary"),
        ("one side more", "unpack_ternary"),
        ("conv3d", "unpack_ternary"),
        ("lstm", "unpack_ternary"),
    ],
)
def test_integer_sums_where_there_is_an_operator_for_them(kind: str, operator: str, tmp_path: Path) -> None:
    make, shape = (KINDS | MORE)[kind]
    _, _, variant = quantized(tmp_path, make(), torch.randn(shape), scheme="ternary", ternary=ALL)
    assert set(names(variant)) == {operator}


class Tagger(nn.Module):
    """Two embeddings, a hidden layer with its norm, and a head tied to the first embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(40, 16), nn.Embedding(6, 16)
        self.hidden, self.norm = nn.Linear(16, 16), nn.LayerNorm(16)
        self.head = nn.Linear(16, 40, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        return self.head(self.norm(torch.relu(self.hidden(x))))


@pytest.mark.parametrize(
    ("ends", "operators"),
    [
        ("int8", ["embedding_int8", "embedding_int8", "linear_dynamic", "linear_ternary"]),
        ("float", ["linear_ternary"]),
        ("ternary", ["embedding_ternary", "embedding_ternary", "linear_ternary", "linear_ternary"]),
    ],
)
def test_the_ends_are_what_was_asked_for(ends: Any, operators: list[str], tmp_path: Path) -> None:
    ids = torch.randint(0, 40, (2, 6))
    report, _, variant = quantized(
        tmp_path, Tagger(), ids, scheme="ternary", ternary=TernaryConfig(ends=ends)
    )
    assert sorted(names(variant)) == operators
    whole = sum(r.parameters for r in report.layers) + sum(s.parameters for s in report.skipped)
    assert whole == report.total_parameters + (640 if ends == "float" else 0)  # a tied weight left twice
    stayed = [*report.skipped, *(row for row in report.layers if row.how != "ternary")]
    assert all(row.why for row in stayed)


def test_group_scales(tmp_path: Path) -> None:
    config = TernaryConfig(granularity="group", group_size=16, ends="ternary")
    report, _, variant = quantized(
        tmp_path, nn.Linear(48, 8), torch.randn(3, 48), scheme="ternary", ternary=config
    )
    scales = [v for k, v in read_program(variant).state_dict.items() if k.endswith("_scale")]
    assert [list(s.shape) for s in scales] == [[8, 3]]
    assert report.size_ratio < 0.2


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    module, example = nn.Linear(20, 6), torch.randn(3, 20)
    variants = [
        quantized(tmp_path / str(i), module, example, scheme="ternary", ternary=ALL)[2]
        for i in range(2)
        if not (tmp_path / str(i)).mkdir()
    ]
    assert len({(v / "program.pt2").read_bytes() for v in variants}) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(bad: float, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    program = captured(tmp_path / "program", module, torch.zeros(2, 4))
    from workbench.quantize.base import Request, scheme

    exported = read_program(program)
    with torch.no_grad():
        exported.state_dict["1.weight"][0, 0] = bad
    request = Request(QuantizeConfig("ternary"), None, None, lambda share, text: None)  # type: ignore[arg-type]
    with pytest.raises(NonFinite, match="layer '1'"):
        scheme("ternary")(exported, request)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_type(dtype: torch.dtype) -> None:
    from torch.export import export

    from workbench.quantize.base import Request, scheme
    from workbench.types import Signature, TensorSpec

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.Linear(32, 8)).to(dtype).eval()
    x = torch.randn(3, 64, dtype=dtype)
    spec = TensorSpec("x", str(dtype).removeprefix("torch."), (3, 64))
    request = Request(QuantizeConfig("ternary"), Signature((spec,), (spec,)), None, lambda share, text: None)
    outcome = scheme("ternary")(export(module, (x,)), request)
    assert [row.layer for row in outcome.layers] == ["2"]
    assert {s.why for s in outcome.skipped if s.kind == "linear"} == {f"no int8 for {spec.dtype} weights"}
    y = runner(outcome.program, request.signature)({"x": x})["x"]
    assert y.dtype == dtype
    assert torch.isfinite(y).all()


def test_half_precision_runs_in_onnxruntime(tmp_path: Path) -> None:
    """Layers compute in float32 there, between halves."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 130)).half()
    x = torch.randn(3, 4, 6).half()
    _, _, variant = quantized(tmp_path, module, x, scheme="ternary", ternary=ALL)
    compiled = tmp_path / "compiled"
    compiled.mkdir()
    compile_program(variant, compiled, CompileConfig())  # raises where onnxruntime and eager differ
    assert load(compiled)(x).dtype == torch.float16


def test_bfloat16_in_onnxruntime_is_refused_with_what_to_do(tmp_path: Path) -> None:
    program = captured(tmp_path / "program", nn.Linear(4, 2).bfloat16(), torch.randn(3, 4).bfloat16())
    (tmp_path / "compiled").mkdir()
    with pytest.raises(CompileError, match=r"bfloat16 on a CPU\n.*\n.*--backend ternary or eager"):
        compile_program(program, tmp_path / "compiled", CompileConfig())


def test_a_program_from_onnx_is_refused(tmp_path: Path) -> None:
    import onnx_ir

    from workbench.capture import capture_onnx
    from workbench.compile.onnx_lowering import lower

    program, variant = tmp_path / "program", tmp_path / "variant"
    for folder in (program, variant):
        folder.mkdir()
    onnx_ir.save(
        lower(torch.export.export(nn.Linear(4, 2).eval(), (torch.zeros(1, 4),))), tmp_path / "m.onnx"
    )
    capture_onnx(tmp_path / "m.onnx", program)
    with pytest.raises(QuantizeError, match="captured from torch"):
        quantize_program(program, variant, QuantizeConfig("ternary"))


def test_random_shapes_run_in_onnxruntime(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for case in range(4):
        k, n = (int(v) for v in rng.integers(1, 300, 2))
        folder = tmp_path / str(case)
        folder.mkdir()
        _, _, variant = quantized(folder, nn.Linear(k, n), torch.randn(2, k), scheme="ternary", ternary=ALL)
        compiled = folder / "compiled"
        compiled.mkdir()
        compile_program(variant, compiled, CompileConfig())
