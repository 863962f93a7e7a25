"""What a step costs on a warm Ray cluster, and what more nodes bring; every node is a Ray node of this machine.

Times are those of the run's own rows, from the first step's end (or start) to the last one's end, so that starting the
host program, which happens once a run, is not in them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.pipeline.dsl import Pipeline, pipeline, step
from workbench.pipeline.executors.ray_node import RayNode, authenticated, free_port
from workbench.store import StepRow, Store

from .samples import Samples

NODES = 3
NAP_S, NAPS = 0.25, 12


@step
def nap(i: int) -> int:
    """Wait as long as a step that works elsewhere would take; this machine's processors stay free."""
    import time

    time.sleep(NAP_S)
    return i


@pipeline
def naps() -> None:
    """Fan out over naps."""
    nap.map(list(range(NAPS)))


def measure(samples: Samples, home: Path, chain: Pipeline, rounds: int) -> None:
    """Add ``ray.step_ms`` (one node) and ``ray.nodes_N.s`` for a fan-out over 1, 2 and 3 nodes of one processor."""
    with _nodes() as (address, nodes, start):
        for count in range(1, NODES + 1):
            while len(nodes) < count:
                start()
            _rows(address, home / f"warm{count}", naps)  # workers start with the first task of a node
            for number in range(rounds):
                if count == 1:
                    rows = _rows(address, home / f"chain{number}", chain)
                    ends = sorted(row.finished_s or 0.0 for row in rows)
                    samples.add("ray.step_ms", (ends[-1] - ends[0]) / (len(ends) - 1) * 1e3)
                rows = _rows(address, home / f"naps{count}.{number}", naps)
                begun = min(row.started_s or 0.0 for row in rows)
                samples.add(f"ray.nodes_{count}.s", max(row.finished_s or 0.0 for row in rows) - begun)
    samples.ratio(f"ray.speed_up_{NODES}", "ray.nodes_1.s", f"ray.nodes_{NODES}.s")


def _rows(address: str, home: Path, work: Pipeline) -> tuple[StepRow, ...]:
    store = Store(home)
    result = wb.run(work, store=store, executor=f"ray://{address}", fresh=True)
    return store.runs.get(result.details["run"]).steps


@contextmanager
def _nodes() -> Iterator[tuple[str, list[RayNode], Any]]:
    """Give the address of a cluster, its nodes (one at first), and what starts another."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # sockets need a short path
    before = dict(os.environ)
    os.environ.update(authenticated(folder))
    address = f"127.0.0.1:{free_port()}"
    nodes = []
    try:
        nodes.append(RayNode(folder, address, 1, head=True))
        yield (
            address,
            nodes,
            lambda: nodes.append(RayNode(folder, address, 1, ip=f"127.0.0.{len(nodes) + 1}")),
        )
    finally:
        for node in nodes:
            node.kill()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)
