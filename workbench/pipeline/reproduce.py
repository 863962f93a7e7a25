"""Make an artifact again from what its manifest says, and compare the two.

The recipe step comes from a run of this store that made the artifact (it carries the user's functions, which
the manifest knows by fingerprint only), its inputs from the manifest. It runs as any step does, in a process
of its own, with nothing taken from the cache. Equal digests prove the whole chain; where they differ, the
differences say whether the bytes do, and what else changed meanwhile: code, environment, figures.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..errors import RunError
from ..store import Store
from .differences import Difference, differences
from .driver import Listener, recipe_of
from .executors.local import LocalExecutor
from .recipe import Recipe
from .run import Run


@dataclass(frozen=True)
class Reproduction:
    """What came of making an artifact again.

    Parameters
    ----------
    digest, again
        The artifact and what was made in its place; equal when it was reproduced.
    run
        The run that made it.
    different
        What differs; empty when the digests are equal.
    """

    digest: str
    again: str
    run: Run
    different: tuple[Difference, ...] = ()

    @property
    def same_bytes(self) -> bool:
        """Whether every file is the same, whatever the manifest says of code and environment."""
        return not any(one.aspect == "file" for one in self.different)


def reproduce(store: Store, digest: str, *, on_event: Listener | None = None) -> Reproduction:
    """Run the step that made an artifact once more and compare.

    Parameters
    ----------
    digest
        The artifact.
    on_event
        Called with each event of the run.

    Raises
    ------
    RunError
        If no run of this store made it, or it came from a live module, which is gone.
    WorkbenchError
        If the step fails now.
    """
    step = _step(store, digest)
    run = LocalExecutor(store).submit(
        Recipe((step,), cached=False), title=f"reproduce {digest[:19]}", on_event=on_event
    )
    again = run.results()[-1].output
    return Reproduction(
        digest, again, run, tuple(differences(store, digest, again)) if again != digest else ()
    )


def _step(store: Store, digest: str) -> Any:
    """Return the step that made an artifact, its inputs as they were then, its output unnamed."""
    recorded = store.artifacts.manifest(digest).step
    for run_id, position in store.runs.made(digest):
        step = recipe_of(store.runs.get(run_id)).steps[position]
        if f"{step.verb}_step" != recorded.get("type"):
            continue  # another verb may leave the same bytes; the manifest names the first that did
        if step.verb == "capture" and step.factory is None and not step.file:
            raise RunError(
                "it was captured from a live module of a notebook, which is gone",
                where=digest,
                fix="capture it from a function or a file, and it can be made again: "
                "%mlops capture module:function",
            )
        inputs = {name: recorded[name] for name in step.inputs if recorded.get(name)}
        return dataclasses.replace(step, **inputs, name="")
    raise RunError(
        "no run of this store made it",
        where=digest,
        fix="reproduce it in the store it was made in; %mlops runs lists the runs of this one",
    )
