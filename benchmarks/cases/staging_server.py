"""The model server: what a hop costs by transport and size, a chain of two models, and what batches give.

Every answer is compared with the others' once before the clock starts.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from workbench.serve.client import InferenceClient

from .. import hops
from ..harness import progress
from ..hops import Hop
from ..other_servers import MLSERVER, mlserver
from ..samples import Samples
from ..served_models import WIDTH, Served, served

SIZES = {"4kb": 1024, "150kb": 38_400, "5mb": 1_310_720}
_CALLS = {"4kb": 60, "150kb": 40, "5mb": 8}
_JSON_CALLS = {"4kb": 30, "150kb": 4, "5mb": 1}
_BATCH_RATIOS = (
    ("1_client", "p50_ms"),
    ("16_clients", "p50_ms"),
    ("16_clients", "per_s"),
    ("16_clients", "server_cpu_ms"),
)
_CHAIN = ("http_json", "http_binary", "local")


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 2 rounds when quick, else 9."""
    rounds = 2 if quick else 9
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _hops(samples, folder, rounds, quick=quick)
        _chain(samples, folder, rounds, 20 if quick else 100)
        _batches(samples, folder, rounds, 0.5 if quick else 2.0)
        if MLSERVER in os.environ:
            _servers(samples, folder, rounds, 40 if quick else 200)


def _hops(samples: Samples, folder: Path, rounds: int, *, quick: bool) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(served("total", folder, *hops.options(folder, "total")))
        ways = {name: stack.enter_context(way(server, "total")) for name, way in hops.ALL.items()}
        for size, count in SIZES.items():
            x = np.random.default_rng(4).normal(size=(1, count)).astype(np.float32)
            chosen = {
                name: hop
                for name, hop in ways.items()
                if not (quick and (name, size) == ("http_json", "5mb"))
            }
            _check_same(chosen, x)
            names = list(chosen)
            for number in progress(rounds, f"hop {size}"):
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    calls = (_JSON_CALLS if name == "http_json" else _CALLS)[size]
                    samples.add(f"hop.{size}.{name}.ms", statistics.median(_times(chosen[name], x, calls)))
            for name in names:
                if name != "http_binary":
                    samples.ratio(
                        f"hop.{size}.{name}.over_http_binary",
                        f"hop.{size}.{name}.ms",
                        f"hop.{size}.http_binary.ms",
                    )


def _chain(samples: Samples, folder: Path, rounds: int, calls: int) -> None:
    """Ask for an embedding and for the documents nearest to it, as a retrieval step does."""
    with ExitStack() as stack:
        servers = {
            kind: stack.enter_context(served(kind, folder, *hops.options(folder, kind)))
            for kind in ("embed", "search")
        }
        chains: dict[str, Hop] = {}
        for name in _CHAIN:
            embed, search = (
                stack.enter_context(hops.ALL[name](server, kind)) for kind, server in servers.items()
            )
            chains[name] = lambda x, embed=embed, search=search: search(embed(x)["y"])  # type: ignore[misc]
        x = np.random.default_rng(5).random((1, 2048), np.float32)
        _check_same(chains, x)
        for _ in progress(rounds, "chain"):
            taken: dict[str, list[float]] = {name: [] for name in chains}
            for _ in range(calls):
                for name, chain in chains.items():
                    taken[name] += _times(chain, x, 1)
            for name, one in taken.items():
                samples.add(f"chain.{name}.p50_ms", float(np.quantile(one, 0.5)))
                samples.add(f"chain.{name}.p99_ms", float(np.quantile(one, 0.99)))
        for mark in ("p50", "p99"):
            for name, other in (
                ("local", "http_json"),
                ("local", "http_binary"),
                ("http_binary", "http_json"),
            ):
                samples.ratio(
                    f"chain.{name}.{mark}.over_{other}", f"chain.{name}.{mark}_ms", f"chain.{other}.{mark}_ms"
                )


def _batches(samples: Samples, folder: Path, rounds: int, seconds: float) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(served("layers", folder))
        many = stack.enter_context(served("layers", folder, "--max-batch", "16"))
        servers = [("batch_1", one), ("max_batch_16", many)]
        singles = {name: stack.enter_context(hops.http_binary(server, "layers")) for name, server in servers}
        for number in progress(rounds, "batches"):
            times: dict[str, list[float]] = {name: [] for name in singles}
            for _ in range(10 * rounds):  # call by call, so that a disturbance hits both
                for name, hop in singles.items():
                    times[name] += _times(hop, _row(), 1)
            for name, taken in times.items():
                samples.add(f"batches.1_client.{name}.p50_ms", statistics.median(taken))
            for name, server in servers[:: 1 if number % 2 else -1]:
                process = psutil.Process(server.ready["pid"])
                before = sum(process.cpu_times()[:2])
                rate, p50, answers = _load(server.url, 16, seconds)
                spent = sum(process.cpu_times()[:2]) - before
                samples.add(f"batches.16_clients.{name}.server_cpu_ms", spent * 1e3 / answers)
                samples.add(f"batches.16_clients.{name}.per_s", rate)
                samples.add(f"batches.16_clients.{name}.p50_ms", p50)
    for base, unit in _BATCH_RATIOS:
        key = f"batches.{base}"
        samples.ratio(f"{key}.{unit}.over_batch_1", f"{key}.max_batch_16.{unit}", f"{key}.batch_1.{unit}")


def _servers(samples: Samples, folder: Path, rounds: int, calls: int) -> None:
    """Ask another project's server for the same sums, in the JSON that both speak."""
    x = np.random.default_rng(4).normal(size=(1, 16)).astype(np.float32)
    with ExitStack() as stack:
        ours = stack.enter_context(served("total", folder))
        theirs = Served(stack.enter_context(mlserver(folder)), {})
        ways = {
            name: stack.enter_context(hops.http_json(server, "total"))
            for name, server in (("workbench", ours), ("mlserver", theirs))
        }
        for _ in progress(rounds, "servers"):
            times: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(calls):
                for name, hop in ways.items():
                    times[name] += _times(hop, x, 1)
            for name, taken in times.items():
                samples.add(f"servers.{name}.json_ms", statistics.median(taken))
    samples.ratio("servers.workbench.over_mlserver", "servers.workbench.json_ms", "servers.mlserver.json_ms")


def _row() -> Any:
    return np.random.default_rng(6).normal(size=(1, WIDTH)).astype(np.float32)


def _load(url: str, clients: int, seconds: float) -> tuple[float, float, int]:
    """Ask from several connections, each as fast as it is answered; return answers a second, p50, answers."""
    until, times = time.perf_counter() + seconds, []

    def ask() -> None:
        x = _row()
        with InferenceClient(url) as client:
            while time.perf_counter() < until:
                start = time.perf_counter()
                client.infer("layers", {"x": x})
                times.append((time.perf_counter() - start) * 1e3)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(times) / (time.perf_counter() - start), statistics.median(times), len(times)


def _times(hop: Hop, x: Any, calls: int) -> list[float]:
    """Return the milliseconds of each of some calls."""
    found = []
    for _ in range(calls):
        start = time.perf_counter()
        hop(x)
        found.append((time.perf_counter() - start) * 1e3)
    return found


def _check_same(ways: dict[str, Hop], x: Any) -> None:
    answers = [hop(x) for hop in ways.values()]
    for answer in answers[1:]:
        for name, array in answers[0].items():
            if not np.allclose(answer[name], array, rtol=1e-4, atol=1e-4):
                raise RuntimeError(f"the ways give different answers: {name}")
