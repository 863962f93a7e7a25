"""Which route splits what."""

from __future__ import annotations

import http.client
from collections import Counter
from urllib.parse import urlsplit

import pytest

from tests.staging.conftest import Stage, in_the_kernel, infer
from workbench import staging
from workbench.errors import InputError, StagingError
from workbench.staging.choice import route_for


def test_a_kept_connection_reaches_both_versions(stage: Stage) -> None:
    url = stage.push(route="auto", split="request").url
    stage.push(canary=0.5, route="auto", split="request")
    address, seen = urlsplit(url), Counter[str]()
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    for _ in range(20):
        infer()(connection)
        answer = connection.getresponse()
        answer.read()
        seen[answer.headers["x-mlops-version"]] += 1
    connection.close()
    assert seen == {"1": 10, "2": 10}
    assert stage.status().route == "user-space proxy"
    staging.promote(stage.store, "tiny")
    with pytest.raises(StagingError, match="does not split by connection"):
        stage.push(route="auto", split="connection")


@in_the_kernel
def test_the_kernel_gives_out_connections(stage: Stage) -> None:
    stage.push(split="connection")
    with pytest.raises(StagingError, match=r"kernel \(sk_lookup\)\) does not split by request"):
        stage.push(route="auto", split="request")


def test_what_fits_together() -> None:
    assert (route_for("request", "auto"), route_for("connection", "auto")) == ("proxy", "kernel")
    assert route_for("auto", "auto") == "auto"
    with pytest.raises(InputError, match="--route kernel does not split by request"):
        route_for("request", "kernel")
    with pytest.raises(InputError, match="no split"):
        route_for("byte", "auto")
