"""Which route splits what."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest

from tests.staging.conftest import Stage, by_request, eventually, in_the_kernel, infer
from workbench import staging
from workbench.errors import InputError, StagingError
from workbench.route.slo import parse
from workbench.staging import processes
from workbench.staging.choice import route_for
from workbench.staging.deployment import find


@pytest.mark.parametrize("route", ["proxy", pytest.param("kernel", marks=pytest.mark.bpf)])
def test_a_kept_connection_reaches_both_versions(stage: Stage, route: str) -> None:
    url = stage.push(route=route, split="request").url
    stage.push(canary=0.5, route=route, split="request")
    address, seen = urlsplit(url), Counter[str]()
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    for _ in range(20):
        infer()(connection)
        answer = connection.getresponse()
        answer.read()
        seen[answer.headers["x-mlops-version"]] += 1
    connection.close()
    assert seen == {"1": 10, "2": 10}
    shown = {"proxy": "user-space proxy", "kernel": "kernel (sk_lookup, requests by sockmap)"}
    assert stage.status().route == shown[route]
    staging.promote(stage.store, "tiny")
    with pytest.raises(StagingError, match="does not split by connection"):
        stage.push(route="auto", split="connection")
    staging.unstage(stage.store, "tiny")
    with pytest.raises(OSError):
        connection.request("GET", "/v2")
        connection.getresponse()


@in_the_kernel
def test_the_kernel_gives_out_connections(stage: Stage) -> None:
    stage.push(split="connection")
    with pytest.raises(StagingError, match=r"kernel \(sk_lookup\)\) does not split by request"):
        stage.push(route="auto", split="request")


def test_a_limit_of_cuda_calls_needs_the_kernel(stage: Stage) -> None:
    limit = parse("cuda_errors<1")
    with pytest.raises(InputError, match="sees no CUDA calls"):
        stage.push(budget=limit)
    assert staging.status(stage.store) == []  # nothing was made for it
    stage.push()
    with pytest.raises(StagingError, match="sees no CUDA calls") as caught:
        stage.push(route="auto", canary=0.5, budget=limit)
    assert caught.value.fix == "%mlops unstage tiny, then push with --route kernel"


@by_request
def test_a_replica_that_is_ended_undrained_is_written_down(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = urlsplit(stage.push().url)
    monkeypatch.setattr("workbench.staging.deployment.STOP_GRACE_S", 0.5)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as line:
        line.sendall(b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n[")
        route = find(stage.store, "tiny").route()  # the body never comes
        eventually(lambda: (stats := route.stats()) and stats.in_flight)
        stage.push()
    (told,) = [one.text for one in stage.record().events if one.kind == "replica.undrained"]
    assert "1 requests without an answer" in told


@in_the_kernel
def test_the_supervisor_starts_a_dead_connector_again(stage: Stage) -> None:
    stage.push(split="request")
    connector = stage.store.home / "staging" / "staging" / "tiny" / "route" / "connector.json"
    first = json.loads(connector.read_bytes())["owner"]  # a status would start it again itself
    processes.stop(first, grace_s=0)
    until = time.monotonic() + 60
    while not any(event.kind == "route.restarted" for event in stage.record().events):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert json.loads(connector.read_bytes())["owner"] != first


def test_what_fits_together() -> None:
    assert (route_for("request", "auto"), route_for("connection", "auto")) == ("auto", "kernel")
    assert route_for("request", "kernel") == "kernel"
    with pytest.raises(InputError, match="--route proxy does not split by connection"):
        route_for("connection", "proxy")
    assert route_for("request", "auto", cuda=True) == "kernel"
    with pytest.raises(InputError, match="sees no CUDA calls"):
        route_for("auto", "proxy", cuda=True)
    with pytest.raises(InputError, match="no split"):
        route_for("byte", "auto")
