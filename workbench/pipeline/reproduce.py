"""Make an artifact again from what it was made from, and compare."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from .. import codec
from ..errors import MissingInput, RunError
from ..package.environment import EnvironmentLock
from ..package.isolation import Isolation
from ..store import Event, Store
from ..types import Manifest
from . import asked
from .cache import OUTPUT
from .callables import CallableReference
from .differences import Difference, differences
from .executors.verbs_here import VerbsHere
from .locks import lock_of
from .recipe import Recipe, Step, canonical, loads, tagged
from .walk.driver import PipelineDriver
from .walk.recipe import task_names

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Rebuilt:
    """How making an artifact again went.

    Parameters
    ----------
    digest, again
        The artifact, and what came out this time.
    verdict
        ``identical`` (the same digest), ``same files`` (every byte of the model equal, made by other code or in
        another environment), ``different``, or ``given`` (it cannot be made again; `reason` says why).
    seconds
        How long it took.
    differences
        What differs, causes first.
    run
        The run that made it again.
    """

    digest: str
    again: str
    verdict: str
    seconds: float = 0.0
    differences: tuple[Difference, ...] = ()
    run: str = ""
    reason: str = ""


def step_of(store: Store, digest: str) -> Step:
    """Return the step that made an artifact, on the very inputs it had.

    Raises
    ------
    UnknownArtifact, CorruptArtifact
        If the artifact is not there or not whole.
    RunError
        If no step made it (data, a trace), or a live module of a notebook was captured.
    MissingInput
        If it ran a function of a notebook cell whose run was forgotten.
    """
    manifest = store.artifacts.manifest(digest)
    if not manifest.step:
        raise RunError(
            f"no step made this {manifest.kind}", where=digest, fix="%mlops lineage shows its origin"
        )
    if "type" not in manifest.step:
        raise RunError(
            "a step of a pipeline made it, which is made again as a whole", where=digest, fix="%mlops mirror"
        )
    step: Any = _recorded(store, digest, manifest) or loads(json.dumps(tagged(dict(manifest.step))))
    _check(step, digest)
    made: Step = replace(step, name="")
    return made


def reproduce(
    store: Store,
    digest: str,
    *,
    title: str = "",
    on_event: Listener | None = None,
    isolation: Isolation | None = None,
) -> Rebuilt:
    """Run the step that made an artifact once more, past the cache, and compare.

    Parameters
    ----------
    digest
        The artifact.
    title, on_event
        As for any run.
    isolation
        Run it in a sandbox, in the environment that the artifact names: built once if it is not this one.

    Raises
    ------
    WorkbenchError
        As :func:`step_of`, and whatever the step raises.
    """
    step = step_of(store, digest)
    start = time.monotonic()
    started = _Start(title or f"reproduce {digest[:19]}", on_event, isolation)
    wanted = lock_of(store, store.artifacts.manifest(digest).environment) if isolation else None
    run_id, again = _run(store, step, started, wanted)
    seconds = time.monotonic() - start
    if again == digest:
        return Rebuilt(digest, again, "identical", seconds, run=run_id)
    old, new = store.artifacts.manifest(digest), store.artifacts.manifest(again)
    verdict = "same files" if old.files == new.files else "different"
    return Rebuilt(digest, again, verdict, seconds, tuple(differences(store, digest, again)), run_id)


def ancestors(store: Store, digest: str) -> list[str]:
    """Return an artifact and those of its ancestors that a step made, oldest first."""
    nodes = store.lineage(digest).nodes
    return [node.digest for node in nodes if store.artifacts.manifest(node.digest).step]


def _recorded(store: Store, digest: str, manifest: Manifest) -> Step | None:
    """Return the step from the recipe of a run that made the artifact: it also has the functions."""
    for run_id, position in store.runs.made(digest):
        work = loads(store.runs.get(run_id).recipe)
        if not isinstance(work, Recipe) or position >= len(work.steps):
            continue  # a pipeline on another executor; the manifest has the step
        step = work.steps[position]
        inputs = {field: manifest.step.get(field, "") for field in step.inputs}
        pinned = replace(step, **inputs)
        if codec.dumps(canonical(pinned)) == codec.dumps(manifest.step):
            return pinned  # type: ignore[no-any-return]
    return None


def _check(step: Any, digest: str) -> None:
    if step.verb == "capture" and step.factory is None and not step.file:
        raise RunError(
            "it was captured from a live module of a notebook, which is gone",
            where=digest,
            fix="capture a function that builds the module: %mlops capture module:function",
        )
    for field in fields(step):
        value = getattr(step, field.name)
        if isinstance(value, CallableReference) and not value.blob and value.target.startswith("__main__"):
            raise MissingInput(
                f"it used {value.target}, a function of a notebook cell that no run of this store still has",
                where=digest,
                fix="put the function into a module",
            )


@dataclass(frozen=True)
class _Start:
    """How a step is run again."""

    title: str
    on_event: Listener | None
    isolation: Isolation | None


def _run(store: Store, step: Step, how: _Start, wanted: EnvironmentLock | None) -> tuple[str, str]:
    recipe = Recipe((step,), isolation=how.isolation)
    run_id = store.runs.create(codec.dumps(recipe), task_names(recipe), title=how.title)
    asked.note(store, run_id)
    verbs = VerbsHere(store, how.isolation, wanted)
    made = PipelineDriver(store, run_id, how.on_event, verbs=verbs, keyless=(0,)).drive()
    return run_id, str(made.artifacts[OUTPUT])
