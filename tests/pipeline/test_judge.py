"""A candidate that its serving backend computes differently is still judged, where there is a measure."""

import pytest
import torch
from torch import nn

import workbench.compile
from workbench.capture import capture_module
from workbench.errors import NumericalMismatch
from workbench.pipeline.judge import judge


class Context:
    """What judge() asks of a step's context."""

    def __init__(self, folder):
        self.root, self.said = folder, []

    def folder(self):
        path = self.root / f"out{len(list(self.root.iterdir()))}"
        path.mkdir()
        return path

    def stage(self, text, share):
        self.said.append(text)

    def function(self, reference):
        return lambda session: float(torch.as_tensor(session(torch.ones(2, 4))).mean())


def test_a_mismatch_is_judged_in_torch_eager(tmp_path, monkeypatch):
    program, root = tmp_path / "program", tmp_path / "root"
    program.mkdir(), root.mkdir()
    capture_module(nn.Linear(4, 2).eval(), torch.randn(3, 4), program)
    real = workbench.compile.compile_program

    def compile_program(folder, out, config):
        if config.backend == "onnxruntime":
            raise NumericalMismatch("output 'output' differs from eager by 35")
        return real(folder, out, config)

    monkeypatch.setattr(workbench.compile, "compile_program", compile_program)
    options = {"candidate": "ternary", "threads": 1}
    context = Context(root)
    judged = judge(context, program, program, evaluate="the measure", **options)
    assert judged.lowered.config.backend == "eager"
    assert judged.candidate == judged.baseline
    assert any("judging it in torch eager" in text for text in context.said)
    with pytest.raises(NumericalMismatch):
        judge(Context(root), program, program, evaluate=None, **options)


def test_bfloat16_is_judged_in_torch_eager(tmp_path):
    program, root = tmp_path / "program", tmp_path / "root"
    program.mkdir(), root.mkdir()
    capture_module(nn.Linear(4, 2).bfloat16().eval(), torch.randn(3, 4).bfloat16(), program)
    context = Context(root)
    judged = judge(context, program, program, evaluate="the measure", candidate="ternary", threads=1)
    assert judged.lowered.config.backend == "eager"
    assert any("does not compute in bfloat16" in text for text in context.said)
