"""The Ray executor: steps as tasks of a cluster. The only file that touches Ray.

``python -m workbench.pipeline.executors.ray`` is the host program: a process of its own, because Ray ends the
process that uses it when the cluster's head is lost, and that must not be a notebook. It puts artifacts into
Ray's object store once each, sends orders as tasks, takes what they made into the store, and records it there.
A worker keeps a store of its own for as long as it lives, and runs the very code that a local step runs.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import queue
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import InputError, RunError, WorkbenchError, missing_dependency
from ...store import Store, owner
from ..ir import Graph
from ..machine import machine
from ..workers import body, environment, ledger, parcel
from ..workers.answers import Answers
from ..workers.host import Host
from ..workers.order import Order, Outcome, search_path
from . import limits, ray_relay
from .ray_errors import unfinished
from .ray_home import open_home
from .ray_limit import limited
from .ray_node import RayNode, authenticated, free_port
from .reach import reach

_AHEAD = 2.0
_SYSTEM_RETRIES = 5
_store: Store | None = None


def open_ray(executor: str, store: Store, graph: Graph, preload: list[str]) -> Host:
    """Return a host that runs steps on Ray.

    Parameters
    ----------
    executor
        ``ray`` starts a node here; ``ray://HOST:PORT`` is the head of a cluster that this machine is a node of.

    Raises
    ------
    InputError
        If a step carries a function that only this store can open, or asks for what no cluster has.
    MissingDependency
        If Ray is not installed.
    RunError
        If nothing listens at the address.
    """
    import importlib.util

    if importlib.util.find_spec("ray") is None:
        raise missing_dependency("ray", "ray")
    _, _, address = executor.partition("://")
    room = limits.Room(float("inf"), float("inf")) if address else limits.machine()
    limits.check(graph, room, "Ray")
    limits.refuse_bound(graph, "Ray")
    if address:
        reach(address)
    arguments = (str(store.home), address, json.dumps(search_path()), *preload)
    program = ray_relay.__name__ if ray_relay.shared_at(address) else __name__
    return Host(program, *arguments, name=f"Ray at {address or 'this machine'}")


def work(
    form: dict[str, Any], wanted: dict[str, Any], names: list[str], *contents: bytes
) -> tuple[Any, Any, Any]:
    """Run an order on the node this is called on; return the outcome, the artifacts it made, and the machine."""
    order = Order.of(form)
    store = _node_store()
    try:
        environment.check(wanted, _node())
        for digest, content in zip(names, contents, strict=True):
            if not store.artifacts.exists(digest):
                parcel.unpack(store, digest, content)
        with limited(order):
            outcome = body.run(store, order)
    except WorkbenchError as error:
        outcome = Outcome(error=error.to_json())
    made = {digest: parcel.pack(store, digest) for digest in outcome.artifacts.values()}
    return outcome.to_json(), made, {**machine(), "node": _node()}


def look(wanted: dict[str, Any], preload: list[str], paths: list[str]) -> dict[str, Any] | None:
    """Return the error of a node whose environment differs, None when all is well; loads what steps need."""
    import importlib

    try:
        environment.check(wanted, _node())  # before the paths of who asks hide what is missing here
    except InputError as error:
        return error.to_json()
    sys.path.extend(entry for entry in paths if entry not in sys.path)
    for name in preload:
        with contextlib.suppress(Exception):  # the step that needs it will say what is wrong with it
            importlib.import_module(name)
    return None


@functools.cache
def _node() -> str:
    import ray

    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


def connect(address: str) -> None:
    """Connect this process to a cluster, once."""
    import ray

    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)


def processors() -> float:
    """Return how many processors the cluster has."""
    import ray

    return float(ray.cluster_resources().get("CPU", 1.0))  # type: ignore[no-untyped-call]


def _node_store() -> Store:
    global _store
    if _store is None:
        _store = Store(open_home())
    return _store


class Bridge:
    """The host program.

    Parameters
    ----------
    store
        Where artifacts come from and results go.
    preload, paths
        Modules that steps need, and where they are found.
    lines, answers
        Where orders come from, and answers go.
    """

    def __init__(
        self, store: Store, preload: list[str], paths: list[str], lines: Iterable[str], answers: Answers
    ) -> None:
        import ray

        self._store, self._lines, self._answers = store, lines, answers
        self._task = ray.remote(work)
        self._wanted = environment.expected()
        self._given = ray.put(self._wanted)
        self._parcels: dict[str, Any] = {}
        self._running: dict[int, tuple[Order, Any]] = {}
        self._heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._open = True
        self._look_at_nodes(preload, paths)

    def serve(self) -> None:
        """Work until the other end is gone and every task has ended."""
        import ray

        threading.Thread(target=self._listen, daemon=True).start()
        self._answers.say({"ready": max(1.0, processors()) * _AHEAD})
        while self._open or self._running:
            kind, what = self._heard.get()
            if kind == "end":
                self._open = False
            elif kind == "done":
                self._done(*what)
            elif "cancel" in what:
                for _, reference in [self._running[t] for t in (what["cancel"],) if t in self._running]:
                    ray.cancel(reference, force=True)
            else:
                self._submit(what["ticket"], Order.of(what["order"]))

    def _look_at_nodes(self, preload: list[str], paths: list[str]) -> None:
        """Refuse a cluster with a node whose environment differs, before any step starts.

        The question takes no processor: a node that works on another run's steps answers all the same.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        probe = ray.remote(look)
        known = ray.nodes()  # type: ignore[no-untyped-call]
        nodes = [node["NodeID"] for node in known if node["Alive"] and node["Resources"].get("CPU")]
        asked = [
            probe.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True)
            ).remote(self._wanted, preload, paths)
            for node in nodes
        ]
        for error in ray.get(asked):
            if error is not None:
                raise InputError.of(error)

    def _listen(self) -> None:
        for line in self._lines:
            self._heard.put(("message", json.loads(line)))
        self._heard.put(("end", None))

    def _submit(self, ticket: int, order: Order) -> None:
        import ray

        ledger.begin(self._store, order, owner.current())
        names = list(dict.fromkeys(order.digests()))
        for digest in names:
            if digest not in self._parcels:
                self._parcels[digest] = ray.put(parcel.pack(self._store, digest))
        options: dict[str, Any] = {"num_cpus": order.cpus or 1.0, "max_retries": _SYSTEM_RETRIES}
        if order.memory_bytes:
            options["memory"] = order.memory_bytes
        reference = self._task.options(**options).remote(
            order.to_json(), self._given, names, *(self._parcels[digest] for digest in names)
        )
        self._running[ticket] = (order, reference)
        reference.future().add_done_callback(lambda done: self._heard.put(("done", (ticket, done))))

    def _done(self, ticket: int, done: Any) -> None:
        order, _ = self._running.pop(ticket)
        try:
            form, contents, where = done.result()
            outcome = Outcome.of(form)
            for digest, content in contents.items():
                parcel.unpack(self._store, digest, content)
            ledger.finish(self._store, order, outcome, where=where)
        except WorkbenchError as error:
            outcome = self._failed(order, error)
        except Exception as error:  # noqa: BLE001 - Ray's own errors: a lost worker, a cancelled task
            outcome = self._failed(order, unfinished(error, order))
        self._answers.say({"ended": ticket, "outcome": outcome.to_json()})

    def _failed(self, order: Order, error: WorkbenchError) -> Outcome:
        outcome = Outcome(error=error.to_json())
        with contextlib.suppress(WorkbenchError):  # a full disk: whoever asked hears of it all the same
            ledger.finish(self._store, order, outcome)
        return outcome


def main(home: str, address: str, paths: str, *preload: str) -> None:
    """Connect, or start a node, and serve."""
    answers = Answers()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt of the notebook is the driver's to answer
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # and takes the node along
    node = None
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        try:
            if not address:  # the folder's path is short: sockets lie in it
                os.environ.update(authenticated(Path(folder)))
                address = f"127.0.0.1:{free_port()}"
                node = RayNode(Path(folder), address, len(os.sched_getaffinity(0)), head=True)
            connect(address)
            Bridge(Store(Path(home)), list(preload), json.loads(paths), sys.stdin, answers).serve()
        except WorkbenchError as error:
            answers.say({"fatal": error.to_json()})
        except ConnectionError as error:
            fatal = RunError(
                f"no Ray cluster answers at {address}", where=address, fix="ray start --head", log=str(error)
            )
            answers.say({"fatal": fatal.to_json()})
        finally:
            if node is not None:
                node.kill()


if __name__ == "__main__":
    from workbench.pipeline.executors import ray as module  # tasks are found by this name, not by __main__

    module.main(*sys.argv[1:])
