"""Run one order in this process, against a store: the same code on every executor and in every container."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ... import codec
from ...errors import InputError, MissingInput, StepFailed, WorkbenchError
from ...store import ArtifactDraft, Store
from ...store.blobs import remove_tree
from .. import record
from ..callables import CallableReference, fingerprint_of, receive
from ..environment import code_version, lock_digest
from ..function_source import FunctionSource, execute
from . import files
from .order import FUNCTION, GIVEN, KUBEFLOW, STEP, Order, Outcome
from .seeds import seeded

PARAMETER_BYTES = 1 << 20
"""The most a plain output may take as JSON: it goes through databases and messages, an artifact does not."""

_CODE = ("pipeline/workers", "pipeline/data.py")


def run(store: Store, order: Order, live: Any = None) -> Outcome:
    """Run an order and return what it left; an error of the step is in the outcome, never raised.

    With a `live` object the step works in the user's own process, whose seeds and paths are left alone.
    """
    try:
        if live is not None:
            return _verb(store, order, live)
        with steady(order.seed, order.search_path):
            return _kind(order)(store, order)
    except WorkbenchError as error:
        return Outcome(error=error.to_json())
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises is the outcome
        return Outcome(error=record.unforeseen(error, f"{order.run_id}, {order.path}").to_json())


@contextmanager
def steady(seed: int, search_path: tuple[str, ...]) -> Iterator[None]:
    """Set what would differ from run to run: seeds, and where modules are found; undo it afterwards."""
    before = list(sys.path)
    sys.path.extend(entry for entry in search_path if entry not in sys.path)
    try:
        with seeded(seed):
            yield
    finally:
        sys.path[:] = before


def _kind(order: Order) -> Callable[[Store, Order], Outcome]:
    if FUNCTION in order.body:
        return _function
    if STEP in order.body:
        return _verb
    if GIVEN in order.body:
        return _given
    if KUBEFLOW in order.body:
        return _kubeflow
    raise InputError("the container's command is none that can be run here", where=order.path)


def _function(store: Store, order: Order) -> Outcome:
    source = codec.loads(order.argument(FUNCTION))
    if not isinstance(source, FunctionSource):
        raise InputError("the step carries no function", where=order.path)
    function = load(source)
    hints = function.__annotations__
    inputs = dict(order.parameters)
    for name, value in order.artifacts.items():
        wants = "Path" in str(hints.get(name))
        many = isinstance(value, list)
        read = [
            files.read(store, one, wants_path=wants) for one in ([value] if isinstance(value, str) else value)
        ]
        inputs[name] = read if many else read[0]
    return _keep(store, order, source, function(**inputs))


def load(source: FunctionSource) -> Callable[..., Any]:
    """Return the function a source means: imported, or executed from its text.

    Raises
    ------
    MissingInput
        If its module is not there, or is another version than the one that was asked for.
    """
    if not source.text:
        function = receive(None, CallableReference(source.target, source.fingerprint))
        function = getattr(function, "__wrapped__", function)
        if fingerprint_of(function) != source.fingerprint:
            raise MissingInput(
                f"{source.target} is another version here than where the pipeline was written",
                where=source.target,
                fix="bring the same code to every node, or compile the pipeline again",
            )
        return function
    if codec.digest({"source": source.text}) != source.fingerprint:
        raise InputError(
            f"the source of {source.name} is not the one that was written down",
            where=source.target,
            fix="compile the pipeline again",
        )
    return execute(source.name, source.text)


def _keep(store: Store, order: Order, source: FunctionSource, value: Any) -> Outcome:
    wanted = order.outputs
    for name, definition in wanted.get("parameters", {}).items():
        return Outcome(parameters={name: _plain(value, definition, order.path)})
    for name in wanted.get("artifacts", {}):
        if value is None:
            raise StepFailed(
                f"{source.name} returned nothing, and its output {name} is an artifact",
                where=order.path,
                fix="return a value, or annotate it: -> str",
            )
        scratch = store.scratch()
        try:
            files.write(value, scratch, order.path)
            return Outcome(artifacts={name: put(store, order, scratch, {"function": source.fingerprint})})
        finally:
            remove_tree(scratch)
    return Outcome()


def put(store: Store, order: Order, folder: Path, step: Mapping[str, Any]) -> str:
    """Store a folder as what an order made: nothing in it or its manifest says when or where."""
    draft = ArtifactDraft(
        "data",
        folder,
        parents=tuple(sorted(set(order.digests()))),
        step={"verb": "step", "parameters": dict(order.parameters), **step},
        code=code(),
        environment=order.environment or lock_digest(),
    )
    return store.artifacts.put(draft)


@functools.cache
def code() -> str:
    """Return the version of what runs orders: that of this process, whatever becomes of the files meanwhile."""
    return code_version(_CODE)


def _plain(value: Any, definition: Mapping[str, Any], where: str) -> Any:
    kinds: dict[str, tuple[type, ...]] = {
        "NUMBER_INTEGER": (int,),
        "NUMBER_DOUBLE": (float, int),
        "STRING": (str,),
        "BOOLEAN": (bool,),
        "LIST": (list, tuple),
        "STRUCT": (dict,),
    }
    kind = definition["parameterType"]
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    if value is None:
        raise StepFailed(
            f"it returned nothing, and its output is a {kind}", where=where, fix="return a value"
        )
    if not isinstance(value, kinds.get(kind, (object,))) or (isinstance(value, bool) and kind != "BOOLEAN"):
        raise StepFailed(
            f"it returned a {type(value).__name__}, and its output is a {kind}",
            where=where,
            fix="return what the annotation says",
        )
    check_size(value, where)
    if kind == "NUMBER_DOUBLE":
        return float(value)  # type: ignore[arg-type]
    return list(value) if isinstance(value, tuple) else value


def check_size(value: Any, where: str) -> None:
    """Refuse plain outputs that are no JSON, or too large to travel as such.

    Raises
    ------
    StepFailed
        If they are.
    """
    try:
        text = codec.dumps(value)
    except (TypeError, ValueError) as error:
        raise StepFailed(f"what it returned cannot be written as JSON: {error}", where=where) from error
    if len(text) > PARAMETER_BYTES:
        raise StepFailed(
            f"it returned {len(text)} bytes as a plain value; {PARAMETER_BYTES} are the most",
            where=where,
            fix="leave the return annotation out: the value then travels as an artifact",
        )


def _verb(store: Store, order: Order, live: Any = None) -> Outcome:
    from ..cache import outcome_of
    from ..context import StepContext
    from ..recipe import body_of, placed

    step = placed(order.argument(STEP), order.artifacts)
    with StepContext(store, order.run_id, order.position, step, live) as context:
        return outcome_of(body_of(step)(step, context))


def _given(store: Store, order: Order) -> Outcome:
    from ..carry import unpack

    (name,) = order.outputs["artifacts"]
    return Outcome(artifacts={name: unpack(store, order.argument(GIVEN))})


def _kubeflow(store: Store, order: Order) -> Outcome:
    from ..kubeflow import run_component

    return run_component(store, order)


def limit_memory(size_bytes: int) -> None:
    """Let this process use no more memory of its own than this from now on."""
    import resource

    import psutil

    if size_bytes:
        used = psutil.Process(os.getpid()).memory_info().data
        resource.setrlimit(resource.RLIMIT_DATA, (used + size_bytes, used + size_bytes))
