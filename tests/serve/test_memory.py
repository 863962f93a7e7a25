"""The server's own memory: a replica beside a process that only holds the same model and runtime."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from tests.serve.conftest import LIMIT_S, ROOT, RunningReplica

BARE = """
import sys, numpy, safetensors.numpy
from pathlib import Path
from tests.serve.tiny_loaders import load
session = load(Path(sys.argv[1]))
session.run({"x": numpy.zeros((1, 4), "float32")})
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_replica_costs_at_most_60_mib_beside_model_and_runtime(
    start: Callable[..., RunningReplica], bundle: Path
) -> None:
    line = [sys.executable, "-c", BARE, str(bundle)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as bare:
        assert bare.stdout
        assert bare.stdout.readline() == b"ready\n"
        replica = start().wait_ready()
        with replica.client() as client:
            for _ in range(50):
                client.infer("tiny", {"x": np.zeros((64, 4), np.float32)})
        own = (
            psutil.Process(replica.process.pid).memory_info().rss - psutil.Process(bare.pid).memory_info().rss
        )
        bare.communicate(timeout=LIMIT_S)
    assert own <= 60 << 20
