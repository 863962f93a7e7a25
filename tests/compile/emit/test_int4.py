"""4-bit layers in C: equal to eager at every size, the same bits on every target, beside other formats in one model."""

import shutil

import numpy
import pytest
import torch
from torch import nn

from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load
from workbench.compile.emit.emulated import EmulatedRunner
from workbench.kernels.targets import runs_here, target_named
from workbench.program import (
    Examples,
    read_examples,
    read_program,
    read_signature,
    runner,
    to_arrays,
    write_program,
)  # fmt: skip
from workbench.quantize import QuantizeConfig
from workbench.quantize.assign import Assignment, build, prepared
from workbench.quantize.layers import find_layers
from workbench.quantize.ops.int4 import quantize_int4


class Layer(nn.Module):
    """One 4-bit layer of `columns` inputs."""

    def __init__(self, rows, columns, bias, block=32):
        super().__init__()
        torch.manual_seed(rows)
        codes, scale = quantize_int4(torch.randn(rows, columns), block)
        self.register_buffer("codes", codes)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", torch.randn(rows) if bias else None)
        self.columns = columns

    def forward(self, x):
        return torch.ops.workbench.linear_int4(x, self.codes, self.scale, self.bias, self.columns)


class Layers(nn.Module):
    """Sizes around those of a block, a panel and a tile, in one model."""

    SIZES = (
        (1, 1, True),
        (15, 31, False),
        (16, 32, True),
        (17, 33, False),
        (67, 130, True),
        (17, 130, True, 128),
    )

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Layer(*sizes) for sizes in self.SIZES)

    def forward(self, x):
        return torch.cat([layer(x[..., : layer.columns]) for layer in self.layers], -1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return a function: a target to the folder of the model compiled for it, compared with eager on the way."""
    program = tmp_path_factory.mktemp("program")
    capture_module(Layers().eval(), torch.randn(7, 130), program)

    def compiled(target):
        out = tmp_path_factory.mktemp(target)
        close = {"tolerance_abs": 2e-5, "tolerance_rel": 1e-5}
        compile_program(program, out, CompileConfig("ternary", target=target, **close))
        return out

    return compiled


def test_every_size_equals_eager_and_any_number_of_rows_runs(bundle):
    out = bundle("host")
    assert "linear_int4(" in (out / "mlops_model.c").read_text()
    session, eager = load(out), Layers().eval()
    for rows in (0, 1, 4, 9):
        x = torch.randn(rows, 130)
        torch.testing.assert_close(session(x), eager(x), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["generic", "riscv64-rvv"])
def test_other_targets_give_the_same_bits(bundle, name):
    target = target_named(name)
    here = runs_here(target)
    if not here and (shutil.which(target.emulator[0]) is None or shutil.which(target.cross[0][0]) is None):
        pytest.skip(f"{target.emulator[0]} or {target.cross[0][0]} is not installed")
    out = bundle(name)
    feeds = {"x": torch.randn(5, 130).numpy()}
    (given,) = (load(out) if here else EmulatedRunner(out)).run(feeds).values()
    numpy.testing.assert_array_equal(given, load(bundle("host")).run(feeds)["output"])


def test_a_mixed_program_compiles(tmp_path):
    """One layer in each format, as the search for mixed precision builds them."""
    folders = {name: tmp_path / name for name in ("program", "variant", "compiled")}
    for folder in folders.values():
        folder.mkdir()
    torch.manual_seed(0)
    module = nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(48, 48), nn.ReLU()))).eval()
    capture_module(module, torch.randn(6, 48), folders["program"])
    program = read_program(folders["program"])
    names = [layer.name for layer in find_layers(prepared(program))]
    formats = dict(zip(names, ("int8", "ternary", "int4", "float"), strict=True))
    mixed = build(prepared(program), Assignment(formats), QuantizeConfig("mixed")).program
    signature, inputs = read_signature(folders["program"]), read_examples(folders["program"]).inputs
    outputs = to_arrays(runner(mixed, signature)({k: torch.from_numpy(v) for k, v in inputs.items()}))
    write_program(folders["variant"], mixed, signature, Examples(inputs, outputs))
    report = compile_program(folders["variant"], folders["compiled"], CompileConfig("ternary"))
    text = (folders["compiled"] / "mlops_model.c").read_text()
    assert all(f"{call}(" in text for call in ("linear_dynamic", "tern_linear", "linear_int4", "product_f32"))
    assert report.max_abs_error < 1e-5
