"""float16 and bfloat16 models compile: halves at the edges, float32 inside."""

import ctypes
import subprocess

import numpy
import torch
from torch import nn

from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load
from workbench.compile.emit.build import RUNTIME
from workbench.compile.emit.emulated import EmulatedRunner
from workbench.quantize import QuantizeConfig, quantize_program


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv1d(4, 8, 3, padding=1), nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x):
        y = self.norm(torch.relu(self.conv(x)).transpose(1, 2))
        return torch.softmax(self.head(y), -1), x.transpose(1, 2)  # the second is an input


def test_a_float16_model_takes_and_gives_float16(session):
    torch.manual_seed(0)
    run = session(Block().half(), torch.randn(3, 4, 6).half())
    x = torch.randn(5, 4, 6).half()
    shares, back = run(x)
    assert shares.dtype == back.dtype == torch.float16
    assert torch.equal(back, x.transpose(1, 2))
    torch.manual_seed(0)
    exact = Block().half().float().eval()
    torch.testing.assert_close(shares.float(), exact(x.float())[0], atol=1e-3, rtol=1e-3)


class Tokens(nn.Module):
    """What a language model in bfloat16 looks like from outside: ids in, float32 out."""

    def __init__(self):
        super().__init__()
        self.table, self.up, self.down = nn.Embedding(20, 16), nn.Linear(16, 32), nn.Linear(32, 20)

    def forward(self, ids):
        x = self.table(ids)
        return self.down(nn.functional.gelu(self.up(x))).float()


def test_a_bfloat16_model_is_nearer_to_the_exact_result_than_eager(session):
    torch.manual_seed(0)
    model = Tokens().bfloat16().eval()
    ids = torch.randint(0, 20, (3, 7))
    given, eager = session(model, ids)(ids), model(ids)
    exact = model.float()(ids)
    assert given.dtype == torch.float32
    assert (given - exact).abs().max() < 1e-5 < (eager - exact).abs().max()


def test_a_bfloat16_model_takes_bfloat16_tensors(session):
    """They cross as float32, which holds them; in it the model is nearer to the exact result than eager."""
    torch.manual_seed(0)
    model = Block().bfloat16().eval()
    run, x = session(model, torch.randn(3, 4, 6).bfloat16()), torch.randn(5, 4, 6).bfloat16()
    shares, back = run(x)
    assert shares.dtype == back.dtype == torch.float32
    assert torch.equal(back, x.transpose(1, 2).float())
    eager, exact = model(x)[0].float(), model.float()(x.float())[0]
    assert (shares - exact).abs().max() < 1e-5 < (eager - exact).abs().max()


class Rounds(nn.Module):
    def forward(self, x):
        return x.to(torch.float16).float(), x.to(torch.bfloat16).float() + 0, x.half()


EDGES = [
    0.0,
    -0.0,
    65504.0,
    65519.9,
    65520.0,
    1e38,
    6e-8,
    2.9e-8,
    6.1e-5,
    1e-45,
    3.4e38,
    1 + 2**-11,
    1 + 3 * 2**-11,
]


def test_conversions_round_as_torch_does_at_the_edges(session):
    run = session(Rounds(), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), tolerance_abs=1e-6)
    x = torch.tensor([[*EDGES, *(-value for value in EDGES)]])
    for given, expected in zip(run(x.repeat(2, 1).T.contiguous()), Rounds()(x.repeat(2, 1).T), strict=True):
        assert given.dtype == expected.dtype
        assert torch.equal(given, expected)
        assert torch.equal(torch.signbit(given), torch.signbit(expected))


def test_every_half_comes_back_from_float(tmp_path):
    """All 65,536 of them, and the float of each, against numpy."""
    (tmp_path / "all.c").write_text(
        "void all(float *wide, uint16_t *back) {\n"
        "    for (int i = 0; i < 65536; ++i)\n"
        "        wide[i] = float_of_half((uint16_t)i), back[i] = half_of_float(wide[i]);\n}\n"
    )
    parts = [word for name in ("base.h", "half.h") for word in ("-include", str(RUNTIME / name))]
    command = ["cc", "-O2", "-shared", "-fPIC", *parts]
    subprocess.run([*command, str(tmp_path / "all.c"), "-o", str(tmp_path / "all.so")], check=True)
    wide, back = numpy.empty(65536, numpy.float32), numpy.empty(65536, numpy.uint16)
    ctypes.CDLL(str(tmp_path / "all.so")).all(
        ctypes.c_void_p(wide.ctypes.data), ctypes.c_void_p(back.ctypes.data)
    )
    halves = numpy.arange(65536, dtype=numpy.uint16).view(numpy.float16)
    numpy.testing.assert_array_equal(wide, halves.astype(numpy.float32))
    numbers = ~numpy.isnan(halves)
    numpy.testing.assert_array_equal(back[numbers], numpy.arange(65536)[numbers])
    assert numpy.isnan(back[~numbers].view(numpy.float16)).all()


def test_a_half_model_has_the_same_bits_on_another_target(build_c):
    torch.manual_seed(0)
    module, inputs = nn.Sequential(nn.Linear(8, 4), nn.GELU()).half(), torch.randn(3, 8).half()
    host, other = build_c(module, inputs), build_c(module, inputs, target="aarch64-neon")
    feeds = {"input": torch.randn(2, 8).half().numpy()}
    here, there = load(host).run(feeds), EmulatedRunner(other).run(feeds)
    numpy.testing.assert_array_equal(here["output"].view(numpy.uint16), there["output"].view(numpy.uint16))


def test_a_ternary_half_model_compiles(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.Linear(32, 4)).half()
    inputs = torch.randn(3, 8).half()
    program, variant, out = (tmp_path / name for name in ("program", "variant", "out"))
    for folder in (program, variant, out):
        folder.mkdir()
    capture_module(module.eval(), inputs, program)
    quantize_program(program, variant, QuantizeConfig("ternary"))
    compile_program(variant, out, CompileConfig("ternary"))  # compared with eager on the way
    assert "tern_linear" in (out / "mlops_model.c").read_text()
    assert load(out)(inputs).dtype == torch.float16
