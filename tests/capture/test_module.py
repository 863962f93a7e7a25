"""Capture of torch modules: what comes out, how it is named, and that nothing is left behind."""

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.networks import ZOO, Pair, Tagger, build, perceptron, tags
from workbench.capture import capture_module
from workbench.errors import BadTensor, CaptureError, EmptyData, InputError
from workbench.program import read_examples, read_program, read_signature, runner


def shapes(specs):
    return {spec.name: (spec.dtype, spec.shape) for spec in specs}


@pytest.mark.parametrize("name", ZOO)
def test_program_gives_what_the_module_gives(tmp_path, name):
    module, inputs = build(name)
    report = capture_module(module, inputs, tmp_path)
    assert report.signature == read_signature(tmp_path)
    examples = read_examples(tmp_path)
    run = runner(read_program(tmp_path), report.signature)
    given = run({k: torch.from_numpy(v.copy()) for k, v in examples.inputs.items()})
    module.eval()
    expected = module(**inputs) if isinstance(inputs, dict) else module(*as_tuple(inputs))
    leaves = torch.utils._pytree.tree_leaves(expected)
    assert [s.name for s in report.signature.outputs] == list(given)
    for (key, value), leaf in zip(given.items(), leaves, strict=True):
        torch.testing.assert_close(value, leaf.detach())
        torch.testing.assert_close(torch.from_numpy(examples.outputs[key].copy()), leaf.detach())


def as_tuple(inputs):
    return inputs if isinstance(inputs, tuple) else (inputs,)


def test_names_dtypes_and_dynamic_sizes(tmp_path):
    report = capture_module(Tagger(), tags(), tmp_path)
    assert shapes(report.signature.inputs) == {
        "ids": ("int64", ("batch", "dim_1")),
        "mask": ("bool", ("batch", "dim_1")),
        "scale": ("float32", ()),
    }
    assert shapes(report.signature.outputs) == {
        "scores": ("float32", ("batch", "dim_1", 3)),
        "any": ("bool", ("batch",)),
        "count_kept": ("int64", ("batch",)),
    }
    assert report.signature.output_structure == "dict"
    assert report.dynamic == ("batch", "dim_1")
    assert report.parameters == 40 + 15
    assert report.bytes == (tmp_path / "program.pt2").stat().st_size
    assert json.loads((tmp_path / "capture.json").read_text()) == {
        "dynamic": ["batch", "dim_1"],
        "dtype": "float32",
        "parameters": 55,
        "producer": f"torch {torch.__version__}",
    }


def test_state_of_a_recurrent_module_is_named_by_position(tmp_path):
    module, inputs = build("lstm")
    report = capture_module(module, inputs, tmp_path)
    assert [s.name for s in report.signature.inputs] == ["x", "state_0", "state_1"]
    assert [s.name for s in report.signature.outputs] == ["output_0", "output_1_0", "output_1_1"]
    assert report.signature.inputs[1].shape == (1, "batch", 6)


def test_a_batch_of_one_stays_dynamic(tmp_path):
    report = capture_module(perceptron(), torch.randn(1, 4), tmp_path)
    assert report.signature.inputs[0].shape == ("batch", 4)
    assert read_examples(tmp_path).inputs["input"].shape == (1, 4)


def test_a_model_for_one_item_is_captured_for_one_item(tmp_path):
    class One(nn.Module):
        def forward(self, x):
            return x.squeeze(0).view(4) * 2

    report = capture_module(One(), torch.randn(1, 4), tmp_path)
    assert report.signature.inputs[0].shape == (1, 4)


def test_sizes_that_only_fit_together_are_fixed(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Flatten(), nn.Linear(512, 10))
    report = capture_module(module, torch.randn(2, 1, 8, 8), tmp_path)
    assert report.signature.inputs[0].shape == ("batch", 1, 8, 8)


def test_explicit_and_no_dynamic_sizes(tmp_path):
    module, inputs = Tagger(), tags()
    asked = capture_module(module, inputs, tmp_path, dynamic="ids:0=n, 1=tokens; mask:0=n,1=tokens")
    assert asked.dynamic == ("n", "tokens")
    fixed = capture_module(module, inputs, tmp_path, dynamic="none")
    assert fixed.dynamic == ()
    assert fixed.signature.inputs[0].shape == (2, 5)


@pytest.mark.parametrize(
    ("dynamic", "error", "text"),
    [
        ("inpt:0=n", InputError, "'inpt:0=n' names no input"),
        ("input:0", InputError, "'0' is not POSITION=NAME"),
        ("input:7=n", InputError, "'input' has 2 dimensions, there is no 7"),
        ("input:1=width", CaptureError, "cannot be captured"),
    ],
)
def test_dynamic_sizes_that_cannot_be(tmp_path, dynamic, error, text):
    with pytest.raises(error, match=text):
        capture_module(perceptron(), torch.randn(3, 4), tmp_path, dynamic=dynamic)


def test_named_tuples_and_switched_off_outputs_become_plain(tmp_path):
    class Partly(nn.Module):
        def forward(self, x):
            return Pair(x + 1, x * 2), None

    report = capture_module(Partly(), torch.randn(2, 3), tmp_path)
    assert [s.name for s in report.signature.outputs] == ["output_0_0", "output_0_1"]
    run = runner(read_program(tmp_path), report.signature)
    assert set(run({"x": torch.zeros(5, 3)})) == {"output_0_0", "output_0_1"}


def test_a_forward_that_takes_one_dict(tmp_path):
    class Batch(nn.Module):
        def forward(self, batch):
            return batch["x"] + batch["y"]

    report = capture_module(Batch(), {"x": torch.ones(2, 3), "y": torch.ones(2, 3)}, tmp_path)
    assert [s.name for s in report.signature.inputs] == ["x", "y"]


def test_the_module_is_left_as_it_was(tmp_path):
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.LSTM(4, 3))
    module[2].eval()
    module[0].weight.requires_grad_(False)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    modes = [m.training for m in module.modules()]
    state = torch.random.get_rng_state()
    capture_module(module, torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), tmp_path)
    assert [m.training for m in module.modules()] == modes
    assert [p.requires_grad for p in module.parameters()] == [False] + [True] * 7
    assert torch.equal(torch.random.get_rng_state(), state)
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]), key
    module.train()(torch.randn(3, 4))[0].sum().backward()
    assert module[3].weight_ih_l0.grad is not None


SCRIPT = """
import sys
from pathlib import Path
from tests.networks import build
from workbench.capture import capture_module
for name in ("tagger", "lstm", "convolutional"):
    folder = Path(sys.argv[1]) / name
    folder.mkdir()
    capture_module(*build(name), folder)
"""


def test_two_processes_write_the_same_bytes(tmp_path):
    started = []
    for run in ("first", "second"):
        (folder := tmp_path / run).mkdir()
        # Another file name for the same code: paths of the caller's files must not matter.
        script = folder.with_suffix(".py")
        script.write_text(SCRIPT)
        command = [sys.executable, "-c", f"exec(open({str(script)!r}).read())", str(folder)]
        started.append(subprocess.Popen(command))
    assert [process.wait(120) for process in started] == [0, 0]
    digests = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        digests.append({p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest() for p in files})
    assert digests[0] == digests[1]
    assert len(digests[0]) == 12


def test_shared_weights_are_stored_once(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(1000, 16)
            self.head = nn.Linear(16, 1000, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids):
            return self.head(self.table(ids))

    report = capture_module(Tied(), torch.arange(6).view(2, 3), tmp_path)
    assert report.parameters == 16_000
    assert report.bytes < 1.5 * 4 * 16_000


@pytest.mark.parametrize(
    ("inputs", "error", "text"),
    [
        (lambda: (torch.randn(2, 4),) * 2, BadTensor, "too many positional arguments"),
        (lambda: {"x": torch.randn(2, 4)}, CaptureError, "must be Tensor, not dict"),
        (lambda: {"a": torch.randn(2, 4), "input": torch.randn(2, 4)}, BadTensor, "unexpected keyword"),
        (lambda: "text", BadTensor, "input 'input' is a str, not a tensor"),
        (lambda: [1.0, 2.0], BadTensor, "too many positional"),
        (lambda: (), BadTensor, "missing a required argument"),
        (lambda: torch.randn(0, 4), EmptyData, r"input 'input' has shape \[0, 4\]"),
        (
            lambda: torch.zeros(2, 4, dtype=torch.complex64),
            BadTensor,
            "complex64, which requests cannot carry",
        ),
        (lambda: torch.randn(2, 5), CaptureError, r"mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_inputs_that_do_not_fit(tmp_path, inputs, error, text):
    with pytest.raises(error, match=text):
        capture_module(perceptron(), inputs(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["lstm", "gru", "bidirectional"])
def test_recurrent_modules_take_any_length(tmp_path, name):
    module, inputs = build(name)
    report = capture_module(module, inputs, tmp_path)
    batch, steps, width = report.signature.inputs[0].shape
    assert (batch, width) == ("batch", 4)
    assert isinstance(steps, str)
    assert steps in report.signature.outputs[0].shape
