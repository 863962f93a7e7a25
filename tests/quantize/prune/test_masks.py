"""Zeros: how many, which, and that a pattern is kept in every block."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench import archive
from workbench.capture import capture_module
from workbench.errors import InputError, NonFinite, QuantizeError
from workbench.program import read_program
from workbench.quantize.prune import PruneConfig, prune_program
from workbench.quantize.prune.masks import pattern


@pytest.fixture
def captured(tmp_path):
    """A captured network and a folder to fill."""

    def capture(module: nn.Module, x: torch.Tensor):
        folder, out = tmp_path / "program", tmp_path / "out"
        folder.mkdir()
        out.mkdir()
        capture_module(module.eval(), (x,), folder, dynamic="auto", preprocessing="")
        return folder, out

    return capture


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


@given(
    st.integers(1, 6), st.integers(1, 6), st.sampled_from([(1, 2), (2, 4), (1, 4), (4, 8)]), st.integers(0, 1)
)
@settings(max_examples=60, deadline=None)
def test_every_block_keeps_its_largest(rows, blocks, kept_of, axis):
    keep, of = kept_of
    weight = torch.randn((rows, blocks * of) if axis == 1 else (blocks * of, rows))
    mask = pattern(weight, axis, keep, of)
    assert mask is not None
    counts = mask.movedim(axis, 1).reshape(-1, of)
    assert (counts.sum(1) == keep).all()
    sizes = weight.abs().movedim(axis, 1).reshape(-1, of)
    smallest = torch.where(counts, sizes, torch.inf).amin(1)
    assert (smallest >= torch.where(counts, -torch.inf, sizes).amax(1)).all()


def test_a_length_that_is_no_multiple_has_no_pattern():
    assert pattern(torch.randn(3, 6), 1, 2, 4) is None


def test_the_smallest_weights_of_all_layers_go(captured):
    module = net()
    folder, out = captured(module, torch.randn(4, 16))
    report = prune_program(folder, out, PruneConfig("magnitude", 0.75)).report
    weights = {n: w for n, w in read_program(out).state_dict.items() if n.endswith("weight")}
    zeros = sum(int((w == 0).sum()) for w in weights.values())
    assert zeros == report.zeros == round(0.75 * (16 * 32 + 32 * 4))
    left = torch.cat([w[w != 0].abs().flatten() for w in weights.values()])
    gone = torch.cat(
        [
            w[weights[f"{i}.weight"] == 0].abs().flatten()
            for i, w in ((0, module[0].weight), (2, module[2].weight))
        ]
    )
    assert left.min() >= gone.max()


def test_layers_without_a_multiple_say_so(captured):
    folder, out = captured(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(4, 6))
    report = prune_program(folder, out, PruneConfig("nm", keep=2, of=4)).report
    assert {row.layer: row.why for row in report.layers} == {"0": "its inputs are no multiple of 4", "2": ""}
    assert report.sparsity == pytest.approx(8 / (6 * 8 + 8 + 8 * 2 + 2))


def test_equal_inputs_give_equal_bytes(captured, tmp_path):
    folder, out = captured(net(), torch.randn(4, 16))
    again = tmp_path / "again"
    again.mkdir()
    for each in (out, again):
        prune_program(folder, each, PruneConfig("channels", 0.5))
    for file in out.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()


def test_weights_that_are_no_numbers_are_refused(captured):
    folder, out = captured(net(), torch.randn(4, 16))
    program = read_program(folder)
    with torch.no_grad():
        program.state_dict["2.weight"][0, 0] = float("nan")
    archive.save(program, folder / "program.pt2")
    with pytest.raises(NonFinite, match="2"):
        prune_program(folder, out, PruneConfig())


def test_a_program_with_nothing_to_remove_says_why(captured):
    folder, out = captured(nn.Linear(16, 4), torch.randn(4, 16))
    with pytest.raises(QuantizeError, match="it is an output"):
        prune_program(folder, out, PruneConfig())


@pytest.mark.parametrize(
    "wrong", [{"amount": 0}, {"amount": 1.0}, {"keep": 4, "of": 4}, {"method": "magic"}, {"multiple": 0}]
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InputError):
        PruneConfig(**wrong)
