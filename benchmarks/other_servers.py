"""Model servers of other projects, for comparison, where somebody has installed them in an environment of their own.

They pin other versions of what we use, so that they are never installed here::

    python -m venv /tmp/mlserver && /tmp/mlserver/bin/pip install mlserver==1.7.1
    MLOPS_BENCH_MLSERVER=/tmp/mlserver/bin/mlserver python -m benchmarks staging_server
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from workbench.serve.client import InferenceClient

MLSERVER = "MLOPS_BENCH_MLSERVER"
_START_S = 90.0
_MODEL = """
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Total(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        x = NumpyCodec.decode_input(payload.inputs[0])
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", x.sum(1))])
"""


@contextlib.contextmanager
def mlserver(folder: Path) -> Iterator[str]:
    """Serve the model ``total`` with MLServer in a process of its own; give its address."""
    home = folder / "mlserver"
    home.mkdir()
    ports = [_free_port() for _ in range(3)]
    names = ("http_port", "grpc_port", "metrics_port")
    settings = {**dict(zip(names, ports, strict=True)), "host": "127.0.0.1", "parallel_workers": 0}
    (home / "settings.json").write_text(json.dumps(settings))
    (home / "model-settings.json").write_text(json.dumps({"name": "total", "implementation": "model.Total"}))
    (home / "model.py").write_text(_MODEL)
    # Its own environment: not our path.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with (home / "log").open("wb") as log:
        line = [os.environ[MLSERVER], "start", str(home)]
        process = subprocess.Popen(line, cwd=home, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{ports[0]}"
    try:
        until = time.monotonic() + _START_S
        with InferenceClient(url) as client:
            while not client.ready("total"):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((home / "log").read_text()[-2000:])
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(_START_S)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port
