"""Whole models in 1.58 bits, compiled to machine code, beside the float module they came from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load
from workbench.examples import charlm, digits
from workbench.program import read_examples
from workbench.quantize import QuantizeConfig, quantize_program

from .timing import Call


@dataclass(frozen=True)
class Contenders:
    """One input: what runs it, by name, and the tokens (images) it holds."""

    calls: dict[str, Call]
    tokens: int


def _modules() -> dict[str, tuple[nn.Module, torch.Tensor, int]]:
    """Return modules with random weights, which take as long as trained ones, an input and its tokens."""
    torch.manual_seed(0)
    images, ids = torch.rand(64, 1, 8, 8), torch.randint(0, 100, (1, charlm.CONTEXT))
    return {
        "digits_cnn.batch_1": (digits.DigitsNet(), images[:1], 1),
        "digits_cnn.batch_64": (digits.DigitsNet(), images, 64),
        "char_lm": (charlm.CharLM(100), ids, charlm.CONTEXT),
    }


@contextmanager
def models() -> Iterator[dict[str, Contenders]]:
    """Compile all; each is compared with eager torch on the way."""
    with tempfile.TemporaryDirectory() as folder:
        yield {name: _contenders(Path(folder) / name, *made) for name, made in _modules().items()}


def _contenders(folder: Path, module: nn.Module, inputs: torch.Tensor, tokens: int) -> Contenders:
    names = ("program", "ternary", "ours", "onnxruntime")
    program, variant, ours, onnxruntime = (folder / name for name in names)
    for each in (program, variant, ours, onnxruntime):
        each.mkdir(parents=True)
    module.eval()
    capture_module(module, inputs, program)
    quantize_program(program, variant, QuantizeConfig("ternary"))
    compile_program(variant, ours, CompileConfig("ternary"))
    compile_program(program, onnxruntime, CompileConfig("onnxruntime"))
    sessions = {"ours": load(ours), "onnxruntime_fp32": load(onnxruntime)}
    feeds = read_examples(program).inputs
    calls: dict[str, Call] = {"torch_fp32": lambda: module(inputs)}
    for name, session in sessions.items():
        calls[name] = lambda session=session: session.run(feeds)  # type: ignore[misc]
    return Contenders(calls, tokens)
