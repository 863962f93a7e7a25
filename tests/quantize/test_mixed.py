"""Mixed precision: moves along the hull, the smallest program that passes, and what the search needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from workbench.capture import capture_module
from workbench.errors import MissingInput
from workbench.quantize import QuantizeConfig, TernaryConfig, quantize_program
from workbench.quantize.mixed.search import Option, Search, path

SIZES = {"ternary": 4, "int4": 9, "int8": 16, "float": 64}


@st.composite
def layers(draw: Any) -> dict[str, list[Option]]:
    """Layers whose formats lose something, the float one nothing."""
    found = {}
    for index in range(draw(st.integers(1, 6))):
        scale = draw(st.integers(1, 40))
        losses = [draw(st.floats(1e-6, 1)) for _ in range(3)] + [0.0]
        found[f"l{index}"] = [
            Option(form, size * scale, loss)  # type: ignore[arg-type]
            for (form, size), loss in zip(SIZES.items(), losses, strict=True)
        ]
    return found


def loss(options: dict[str, list[Option]], formats: Any) -> float:
    return sum(o.loss for layer, os in options.items() for o in os if o.form == formats[layer])


@given(layers())
def test_moves_only_shrink_and_get_dearer(options: dict[str, list[Option]]) -> None:
    moves = path(options)
    prices = [move.loss / move.saved_bytes for move in moves]
    assert prices == sorted(prices)
    assert all(move.saved_bytes > 0 for move in moves)
    smallest = {layer: min(os, key=lambda o: o.size_bytes).form for layer, os in options.items()}
    assert Search(options, lambda f: 0.0, 0.0).after(moves) == smallest


@given(layers(), st.floats(0, 2))
def test_what_is_chosen_passes_and_beats_every_uniform_choice(
    options: dict[str, list[Option]], allowed: float
) -> None:
    search = Search(options, lambda formats: -loss(options, formats), -allowed)
    chosen = search.run()
    assert loss(options, chosen) <= allowed
    assert len(search.points) <= 4 + 6 + 6  # bisection over at most 18 moves, and the moves beyond
    # Along the path nothing smaller passes: the next move alone is too much.
    taken = {layer: next(o for o in os if o.form == chosen[layer]) for layer, os in options.items()}
    rest = [m for m in path(options) if m.saved_bytes and m.form != taken[m.layer].form]
    assert search.size(chosen) == sum(o.size_bytes for o in taken.values())
    assert rest or all(o.form == "ternary" for o in taken.values())


def test_a_program_is_scored_once() -> None:
    options = {"a": [Option("int8", 1, 0.1), Option("float", 4, 0.0)]}
    asked: list[Any] = []
    search = Search(options, lambda formats: asked.append(dict(formats)) or 1.0, 0.5)  # type: ignore[func-returns-value]
    assert search.passes({"a": "int8"}, "all int8")
    assert search.run() == {"a": "int8"}
    assert asked == [{"a": "int8"}]
    assert [p.label for p in search.points] == ["all int8"]


@pytest.fixture
def program(tmp_path: Path) -> tuple[Path, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)
    ).eval()
    x = torch.randn(64, 16)
    folder = tmp_path / "program"
    folder.mkdir()
    capture_module(module, (x[:4],), folder, dynamic="auto")
    return folder, x, module(x).detach()


def closeness(x: torch.Tensor, y: torch.Tensor) -> Any:
    return lambda session: 1 - float((session(x) - y).square().mean() / y.square().mean())


@pytest.mark.parametrize(("allowed", "smaller_than"), [(1e-9, 1.01), (3e-4, 0.3), (0.9, 0.12)])
def test_the_more_may_be_lost_the_smaller_it_gets(
    program: Any, tmp_path: Path, allowed: float, smaller_than: float
) -> None:
    folder, x, y = program
    out = tmp_path / "variant"
    out.mkdir()
    config = QuantizeConfig("mixed", ternary=TernaryConfig(ends="ternary"))
    report = quantize_program(folder, out, config, calibration=[x], score=closeness(x, y), max_drop=allowed)
    assert report.size_ratio < smaller_than
    (chosen,) = [point for point in report.points if point.chosen]
    assert chosen.score >= 1 - allowed
    labels = [point.label for point in report.points]
    assert {"all ternary", "all int4", "all int8", "all float"} <= set(labels)
    assert "* " in report.search_table(1.0).text()
    assert all(row.output_sqnr_db is not None for row in report.layers)


def test_a_search_needs_a_measure(program: Any, tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="what your measure allows"):
        quantize_program(program[0], tmp_path, QuantizeConfig("mixed"))
