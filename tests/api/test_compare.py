"""Artifacts side by side: figures of their own, else of their nearest kin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench import api
from workbench.errors import InputError, UnknownArtifact
from workbench.store import ArtifactDraft, Store
from workbench.widgets.live import MIME
from workbench.widgets.pareto import frontier
from workbench.widgets.views import mimebundle


def put(store: Store, name: str, kind: str, size: int, **more: Any) -> str:
    files = store.scratch()
    (files / "x").write_bytes(name.encode().ljust(size))
    digest = store.artifacts.put(ArtifactDraft(kind, files, **more))
    store.names.set(name, digest)
    return digest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    program = put(store, "m", "program", 4000)
    metrics = {"score": 0.96, "baseline_score": 0.97}
    variant = put(store, "m:int8", "variant", 1000, parents=(program,), metrics=metrics)
    put(store, "m:int8/onnxruntime", "compiled", 900, parents=(variant,))
    put(store, "other", "program", 100)
    store.measurements.set(variant, "latency_ms", 0.5, "ms")
    return store


def test_kin_lend_their_figures(store: Store) -> None:
    result = api.compare("m", "m:int8", "m:int8/onnxruntime", "other", store=store)
    figures = {one["name"]: (one["score"], one["latency_ms"], one["size_bytes"]) for one in result.compared}
    assert figures == {
        "m": (0.97, None, 4000),
        "m:int8": (0.96, 0.5, 1000),
        "m:int8/onnxruntime": (0.96, 0.5, 900),
        "other": (None, None, 100),
    }
    assert "0.97" in result.text()


def test_a_notebook_shows_score_over_size_too(store: Store) -> None:
    bundle = mimebundle(api.compare("m", "m:int8", store=store))
    table, view = bundle[MIME]["parts"]
    assert "<table" in table["html"]
    assert (view["view"], [p["name"] for p in view["data"]["points"]]) == ("pareto", ["m", "m:int8"])
    assert "<svg" in bundle["text/html"]
    assert MIME not in mimebundle(api.compare("m", "other", store=store))  # only one has a score


def test_bad_input(store: Store) -> None:
    with pytest.raises(InputError, match="nothing to compare with"):
        api.compare("m", store=store)
    with pytest.raises(UnknownArtifact, match="did you mean m"):
        api.compare("m", "mm", store=store)


def test_the_frontier_keeps_the_better_of_equal_cost() -> None:
    points = [{"name": n, "c": c, "score": s} for n, c, s in (("a", 1, 0.5), ("b", 1, 0.6), ("c", 2, 0.6))]
    assert [point["name"] for point in frontier(points, "c")] == ["b"]
