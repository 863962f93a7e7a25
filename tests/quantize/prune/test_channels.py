"""Cutting channels: what is cut computes what was left, on every shape of network the rules know."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench.quantize.assign import prepared
from workbench.quantize.prune import PruneConfig
from workbench.quantize.prune.channels import cut_channels, kept_of
from workbench.quantize.prune.flow import Flow


class Residual(nn.Module):
    """A stem, a depthwise block with a squeeze-and-excite gate beside a shortcut, and a head behind a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.deep = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.point = nn.Conv2d(16, 16, 1)
        self.narrow, self.wide = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)
        self.hidden, self.head = nn.Linear(16 * 4, 24), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.point(torch.relu(self.deep(x)))
        y = y * torch.sigmoid(self.wide(torch.relu(self.narrow(y.mean((2, 3), keepdim=True)))))
        y = nn.functional.max_pool2d(torch.relu(x + y), 4)
        return self.head(torch.relu(self.hidden(y.flatten(1))))


class Feedforward(nn.Module):
    """A block of a transformer: only its inner layer may lose channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


class Viewed(nn.Module):
    """Channels that go through a view with its size written out, a permute and a parameter a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale, self.fc = (
            nn.Conv1d(4, 16, 1),
            nn.Parameter(torch.rand(16, 1)),
            nn.Linear(96, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(self.conv(x) * self.scale)
        return self.fc(y.view(x.shape[0], 96))


CASES = [(Residual, (3, 8, 8)), (Feedforward, (6, 8)), (Viewed, (4, 6))]


@pytest.mark.parametrize(("make", "shape"), CASES)
def test_what_is_cut_computes_what_is_left(bench, make, shape):
    """Channels whose weights are all zero give zero and are scored lowest: without them nothing changes."""
    torch.manual_seed(0)
    x = torch.randn(4, *shape)
    program, signature = bench.export(make(), x)
    editor, config = prepared(program), PruneConfig(amount=0.5, multiple=1)
    for group in Flow(editor).groups():
        if group.frozen:
            continue
        gone = torch.randperm(group.width)[: group.width // 2]
        for node, axis, repeat in group.cuts:
            value = editor.tensor(node).detach().clone()
            entries = (gone.unsqueeze(1) * repeat + torch.arange(repeat)).flatten()
            editor.set_tensor(node, value.index_fill(axis, entries, 0.0))
    cut_from = prepared(program)
    for node, other in zip(editor.graph.nodes, cut_from.graph.nodes, strict=True):
        if editor.tensor(node) is not None:
            cut_from.set_tensor(other, editor.tensor(node))
    cuts = cut_channels(cut_from, config, set())
    assert any(cut.after < cut.before for cut in cuts)
    before, after = editor.finish(), cut_from.finish()
    torch.testing.assert_close(
        bench.run(after, signature, x), bench.run(before, signature, x), rtol=1e-4, atol=1e-5
    )


def test_a_shortcut_ties_all_its_layers(bench):
    program, _ = bench.export(Residual(), torch.randn(2, 3, 8, 8))
    cuts = cut_channels(prepared(program), PruneConfig(multiple=1), set())
    tied = {name for cut in cuts if len(cut.weights) > 1 for name in cut.weights}
    assert tied == {"stem.0", "deep", "point", "wide"}
    assert {(cut.weights, cut.after) for cut in cuts if len(cut.weights) == 1} == {
        (("narrow",), 4), (("hidden",), 12), (("head",), 5),
    }  # fmt: skip


def test_outputs_and_normalized_values_stay_whole(bench):
    program, _ = bench.export(Feedforward(), torch.randn(2, 6, 8))
    cuts = {cut.weights: cut for cut in cut_channels(prepared(program), PruneConfig(), set())}
    assert (cuts[("up",)].before, cuts[("up",)].after) == (32, 16)
    assert cuts[("down",)].after == 8
    assert cuts[("down",)].why


def test_a_skipped_layer_keeps_its_channels(bench):
    program, _ = bench.export(Residual(), torch.randn(2, 3, 8, 8))
    cuts = cut_channels(prepared(program), PruneConfig(multiple=1), {"wide"})
    tied = next(cut for cut in cuts if "wide" in cut.weights)
    assert tied.after == 16
    assert tied.why == "wide is to stay"


def test_a_grouped_convolution_freezes_what_it_reads(bench):
    module = nn.Sequential(nn.Conv2d(2, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1, groups=2))
    program, _ = bench.export(module, torch.randn(2, 2, 4, 4))
    (cut,) = (
        c for c in cut_channels(prepared(program), PruneConfig(multiple=1), set()) if c.weights == ("0",)
    )
    assert (cut.after, cut.why) == (8, "a grouped convolution reads it")


def test_tied_weights_are_left_alone(bench):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(torch.relu(self.a(x)))

    program, _ = bench.export(Tied(), torch.randn(2, 8))
    assert all(
        cut.after == cut.before for cut in cut_channels(prepared(program), PruneConfig(multiple=1), set())
    )


@given(st.integers(1, 4096), st.floats(0.01, 0.99), st.sampled_from([1, 4, 8, 16]))
@settings(max_examples=200, deadline=None)
def test_what_stays_is_some_and_never_more(width, amount, multiple):
    kept = kept_of(width, PruneConfig(amount=amount, multiple=multiple))
    assert 1 <= kept <= width
    assert kept >= round(width * (1 - amount))
    assert kept == width or width <= multiple or kept % multiple == 0
