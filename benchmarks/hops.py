"""Ways from a client to a replica and back, each as a function of one array: what a hop benchmark compares."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.serve.client import InferenceClient
from workbench.serve.local_client import LocalClient

from .served_models import Served

Array = NDArray[Any]
Hop = Callable[[Array], dict[str, Array]]
"""Sends one array and returns the outputs."""

OPTIONS = ("--grpc-port", "0", "--shared-memory", "mlops-bench")


def options(folder: Path, kind: str) -> tuple[str, ...]:
    """Return what a replica must be started with, to be reached by every hop."""
    return (*OPTIONS, "--local-socket", str(folder / f"{kind}.sock"))


@contextlib.contextmanager
def http_json(server: Served, model: str) -> Iterator[Hop]:
    """HTTP with JSON both ways."""
    with InferenceClient(server.url) as client:
        yield lambda x: dict(client.infer(model, {"x": x}, binary=False).outputs)


@contextlib.contextmanager
def http_binary(server: Served, model: str) -> Iterator[Hop]:
    """HTTP with raw tensors both ways: the baseline."""
    with InferenceClient(server.url) as client:
        yield lambda x: dict(client.infer(model, {"x": x}).outputs)


@contextlib.contextmanager
def grpc(server: Served, model: str) -> Iterator[Hop]:
    """GRPC with raw tensors, by a public client."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tritonclient.grpc as triton

    with triton.InferenceServerClient(f"127.0.0.1:{server.ready['grpc_port']}") as client:

        def hop(x: Array) -> dict[str, Array]:
            tensor = triton.InferInput("x", list(x.shape), "FP32").set_data_from_numpy(x)
            answer = client.infer(model, [tensor])
            return {one.name: answer.as_numpy(one.name) for one in answer.get_response().outputs}

        yield hop


@contextlib.contextmanager
def local(server: Served, model: str) -> Iterator[Hop]:
    """Use a Unix socket and shared memory."""
    with LocalClient(Path(server.ready["local_socket"])) as client:
        yield lambda x: dict(client.infer({"x": x}).outputs)


@contextlib.contextmanager
def http_shared(server: Served, model: str) -> Iterator[Hop]:
    """HTTP, the input in system shared memory (the protocol's extension), outputs raw."""
    region = shared_memory.SharedMemory(create=True, size=8 << 20, name=f"mlops-bench-{os.getpid()}-{model}")
    client = InferenceClient(server.url)
    connection = client._connection

    def post(path: str, document: dict[str, Any]) -> Any:
        connection.request("POST", path, json.dumps(document), {"content-type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(body.decode())
        return response, body

    def hop(x: Array) -> dict[str, Array]:
        from workbench.serve.protocol import HEADER_SIZE, decode_answer

        np.ndarray(x.shape, x.dtype, region.buf)[...] = x
        given = {"shared_memory_region": "x", "shared_memory_byte_size": x.nbytes}
        tensor = {"name": "x", "datatype": "FP32", "shape": list(x.shape), "parameters": given}
        document = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
        response, body = post(f"/v2/models/{model}/infer", document)
        return dict(decode_answer(body, response.getheader(HEADER_SIZE)).outputs)

    base = "/v2/systemsharedmemory/region/x"
    try:
        post(f"{base}/register", {"key": f"/{region.name}", "offset": 0, "byte_size": region.size})
        yield hop
        post(f"{base}/unregister", {})
    finally:
        client.close()
        region.close()
        region.unlink()


ALL = {
    "http_json": http_json,
    "http_binary": http_binary,
    "http_shared": http_shared,
    "grpc": grpc,
    "local": local,
}
