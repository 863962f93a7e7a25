"""Spans as a collector's file receiver reads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import InputError
from workbench.serve import spans
from workbench.serve.spans import SpanFile
from workbench.serve.trace_context import TraceContext

FACTS = {"model": "tiny", "version": "3", "track": "stable", "pid": 7}
TRACE = TraceContext.of("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", "r-1")


def values(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in attributes}


def test_a_request_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    one, two = SpanFile(path, **FACTS), SpanFile(path, **FACTS)  # two replicas, one file
    one.write(TRACE, "http", 200, 0.25, "canary")
    two.write(TraceContext.of("", ""), "grpc", 503, 0.0, "stable")
    first, second = [json.loads(line)["resourceSpans"][0] for line in path.read_text().splitlines()]
    assert values(first["resource"]["attributes"])["service.name"] == "tiny"
    (span,) = first["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["parentSpanId"], span["spanId"]) == ("ab" * 16, "cd" * 8, TRACE.span_id)
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == 250_000_000
    assert span["kind"] == 2
    assert span["status"] == {}
    assert values(span["attributes"])["mlops.track"] == "canary"
    (span,) = second["scopeSpans"][0]["spans"]
    assert "parentSpanId" not in span
    assert span["status"] == {"code": 2}


def test_a_large_file_is_turned_once_for_all_its_writers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "LARGEST_BYTES", 1_000)
    monkeypatch.setattr(spans, "_CHECK_EVERY", 3)
    path = tmp_path / "spans.jsonl"
    writers = [SpanFile(path, **FACTS), SpanFile(path, **FACTS)]
    for _ in range(3):
        for one in writers:
            one.write(TRACE, "http", 200, 0.1, "stable")
    lines = [len(p.read_text().splitlines()) for p in (path, path.with_name("spans.jsonl.1"))]
    assert lines == [0, 6]
    writers[1].write(TRACE, "http", 200, 0.1, "stable")
    assert len(path.read_text().splitlines()) == 1


def test_a_folder_that_is_gone_loses_spans_not_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "_CHECK_EVERY", 1)
    folder = tmp_path / "gone"
    folder.mkdir()
    one = SpanFile(folder / "spans.jsonl", **FACTS)
    shutil.rmtree(folder)
    one.write(TRACE, "http", 200, 0.1, "stable")
    folder.mkdir()
    one.write(TRACE, "http", 200, 0.1, "stable")  # it finds its place again
    one.write(TRACE, "http", 200, 0.1, "stable")
    assert len((folder / "spans.jsonl").read_text().splitlines()) == 1


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="spans cannot be written"):
        SpanFile(tmp_path / "none" / "spans.jsonl", **FACTS)
