"""What a request leaves behind: a request id, a trace, a log line, samples that a scraper can read."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.serve.conftest import LIMIT_S, RunningReplica
from workbench.serve.protocol import InferRequest, encode_request
from workbench.serve.trace_context import TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MESSAGE = encode_request(InferRequest({"x": np.zeros((1, 4), np.float32)}))


def ask(replica: RunningReplica, body: bytes = MESSAGE.body, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", replica.port, timeout=LIMIT_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", "/v2/models/tiny/infer", body, {**MESSAGE.headers, **named})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def line_of(replica: RunningReplica, request_id: str) -> dict[str, Any]:
    """Wait for the log line of a request."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        for text in replica.log.read_text().splitlines():
            line: dict[str, Any] = json.loads(text)
            if line.get("request_id") == request_id:
                return line
        time.sleep(0.01)
    raise AssertionError(f"no line for {request_id}")


def test_a_sampled_trace_goes_on(replica: RunningReplica) -> None:
    response = ask(replica, traceparent=f"00-{TRACE}-{SPAN}-01", x_request_id="r-sampled")
    assert response.getheader("x-request-id") == "r-sampled"
    answered = re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-01", response.getheader("traceresponse") or "")
    assert answered
    line = line_of(replica, "r-sampled")
    assert (line["trace_id"], line["parent_span_id"], line["span_id"]) == (TRACE, SPAN, answered[1])
    assert (line["event"], line["level"], line["status"], line["model"]) == ("request", "info", 200, "tiny")
    assert line["duration_ms"] > 0


def test_sampled_and_refused_requests_are_spans(start: Callable[..., RunningReplica], tmp_path: Path) -> None:
    spans = tmp_path / "spans.jsonl"
    replica = start("--traces", str(spans)).wait_ready()
    ask(replica, traceparent=f"00-{TRACE}-{SPAN}-01", x_request_id="r-1")
    ask(replica, x_request_id="r-2")  # nobody traces it
    ask(replica, b"{", x_request_id="r-3")
    line_of(replica, "r-3")
    found = [json.loads(line)["resourceSpans"][0] for line in spans.read_text().splitlines()]
    ids = [one["scopeSpans"][0]["spans"][0]["attributes"][-1]["value"]["stringValue"] for one in found]
    assert ids == ["r-1", "r-3"]
    assert found[0]["scopeSpans"][0]["spans"][0]["traceId"] == TRACE


def test_an_unsampled_request_has_an_id_and_leaves_no_line(replica: RunningReplica) -> None:
    response = ask(replica, traceparent=f"00-{TRACE}-{SPAN}-00")
    made = response.getheader("x-request-id")
    assert made
    ask(replica, traceparent=f"00-{TRACE}-{SPAN}-01", x_request_id="r-after")
    line_of(replica, "r-after")
    assert made not in replica.log.read_text()


def test_a_refused_request_leaves_a_line(replica: RunningReplica) -> None:
    assert ask(replica, b"{", x_request_id="r-bad").status == 400
    assert line_of(replica, "r-bad")["status"] == 400


def test_a_request_id_cannot_write_into_logs_or_headers(replica: RunningReplica) -> None:
    response = ask(replica, x_request_id='"}\t{"')
    assert re.fullmatch("[0-9a-f]{32}", response.getheader("x-request-id") or "")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_what_is_no_traceparent_starts_a_trace(header: str) -> None:
    found = TraceContext.of(header, "")
    assert found.parent_id == ""
    assert not found.sampled
    assert found.trace_id != TRACE


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    found = TraceContext.of(f"01-{TRACE}-{SPAN}-01-more", "")
    assert (found.trace_id, found.parent_id, found.sampled) == (TRACE, SPAN, True)


@given(parent=st.text(max_size=70), request_id=st.text(max_size=20))
def test_any_headers_give_a_valid_trace(parent: str, request_id: str) -> None:
    found = TraceContext.of(parent, request_id)
    assert TraceContext.of(found.traceparent, "").trace_id == found.trace_id
    assert re.fullmatch(r"[\x21-\x7e]{1,128}", found.request_id)


def test_a_scraper_reads_the_metrics(replica: RunningReplica) -> None:
    ask(replica)
    with replica.client() as client:
        families = {family.name: family for family in text_string_to_metric_families(client.metrics())}
    assert {"mlops_requests", "mlops_request_seconds", "mlops_queue_length", "mlops_batch_requests"} <= set(
        families
    )
    counts = {
        sample.name: sample.value
        for sample in families["mlops_batch_requests"].samples
        if sample.labels.get("le") in (None, "+Inf")
    }
    assert counts["mlops_batch_requests_count"] == counts["mlops_batch_requests_bucket"] > 0
