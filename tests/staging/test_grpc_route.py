"""gRPC through the service's address: split by connection, and a drained version's clients lose no call."""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.staging.conftest import MOODY, Stage, eventually, in_the_kernel, kill
from workbench import staging
from workbench.staging.serving import Serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the client's own imports are not ours to mend
    grpc = pytest.importorskip("grpc")
    from workbench.serve.transports.grpc_messages import MESSAGES

SERVING = Serving(grpc=True)
CALL_S = 30.0


def request(value: float = 1.0) -> bytes:
    message = MESSAGES["ModelInferRequest"](model_name="tiny")
    message.inputs.add(name="x", datatype="FP32", shape=[2, 4])
    message.raw_input_contents.append(np.full((2, 4), value, np.float32).tobytes())
    return bytes(message.SerializeToString())


def connect(address: str) -> Any:
    return grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


def ask(channel: Any, value: float = 1.0) -> str:
    """Return the version that answered."""
    method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    _, call = method.with_call(request(value), timeout=CALL_S, wait_for_ready=True)
    return dict(call.initial_metadata())["x-mlops-version"]


def versions(address: str, count: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    for _ in range(count):
        with connect(address) as channel:
            seen[ask(channel)] += 1
    return seen


class Callers:
    """Clients that each keep one channel and call all the time."""

    def __init__(self, address: str, count: int) -> None:
        self.seen: Counter[str] = Counter()
        self.failures: list[Exception] = []
        self._ended = threading.Event()
        self._address = address
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def __enter__(self) -> Callers:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for one in self._threads:
            one.join(60)

    def _run(self) -> None:
        with connect(self._address) as channel:
            while not self._ended.wait(0.005):  # processors are for those who start
                try:
                    self.seen[ask(channel)] += 1
                except grpc.RpcError as error:
                    self.failures.append(error)

    def wait_for(self, version: str, more: int = 20) -> None:
        before = self.seen[version]
        eventually(lambda: self.seen[version] >= before + more)


@pytest.fixture
def served(stage: Stage) -> Stage:
    stage.push(serving=SERVING)
    return stage


@in_the_kernel
def test_calls_are_split_by_connection_and_promoted(served: Stage) -> None:
    address = served.status().grpc
    assert address
    assert address != served.status().tracks[0].replicas[0].grpc
    assert versions(address, 3) == {"1": 3}
    with Callers(address, 4) as callers:
        callers.wait_for("1")
        status = served.push(canary=0.5, serving=SERVING)
        assert status.grpc == address
        assert abs(versions(address, 20)["2"] - 10) <= 6
        assert served.status().phase == "canary"
        staging.promote(served.store, "tiny")
        callers.wait_for("2")
        served.push(serving=SERVING)
        callers.wait_for("3")
    assert callers.failures == []
    assert versions(address, 3) == {"3": 3}


@in_the_kernel
def test_a_canary_that_loses_its_traffic_sends_its_callers_away(served: Stage) -> None:
    address = served.status().grpc
    served.push(canary=1.0, serving=SERVING)
    with Callers(address, 2) as callers:
        callers.wait_for("2")
        staging.rollback(served.store, "tiny")
        callers.wait_for("1")
    assert callers.failures == []


@in_the_kernel
def test_a_canary_that_fails_its_calls_loses_its_traffic(served: Stage) -> None:
    address = served.status().grpc
    served.push(canary=1.0, serving=SERVING, loader=MOODY)
    with connect(address) as channel:
        for _ in range(8):
            with pytest.raises(grpc.RpcError, match="bad mood"):
                ask(channel, -2000.0)
    eventually(lambda: served.status().phase == "rolled-back")  # it is told once the answer is on its way
    (record,) = served.status().rollbacks
    assert (record.by, record.reason, record.observed) == ("sentinel", "errors", 8)
    assert versions(address, 2) == {"1": 2}


@in_the_kernel
def test_the_route_and_its_router_die_and_the_address_stays(served: Stage) -> None:
    address = served.status().grpc
    kill(served.status().route_pid)
    assert versions(address, 3) == {"1": 3}
    kill(served.status().tracks[0].replicas[0].pid)
    eventually(lambda: all(r.restarts and r.pid for r in served.status().tracks[0].replicas))
    assert versions(address, 3) == {"1": 3}
    assert served.status().grpc == address


@in_the_kernel
def test_a_canary_without_grpc_is_not_to_blame(served: Stage) -> None:
    address = served.status().grpc
    served.push(canary=0.5)
    assert versions(address, 10) == {"1": 10}
    assert served.status().phase == "canary"


def test_the_proxy_has_no_address_for_it(stage: Stage) -> None:
    status = stage.push(serving=SERVING)
    assert status.grpc == ""
    assert versions(status.tracks[0].replicas[0].grpc, 2) == {"1": 2}
