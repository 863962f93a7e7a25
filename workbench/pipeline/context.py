"""What the body of a step may do: read inputs, work in scratch, put outputs, tell how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from .. import codec
from ..store import ArtifactDraft, Store
from ..store.blobs import remove_tree
from ..types import Manifest, Signature
from . import callables, data, environment, provenance
from .recipe import Step, canonical

_PROGRESS_EVERY_S = 0.2


class StepContext:
    """The world of one step of one run.

    Parameters
    ----------
    store
        Where inputs come from and outputs go.
    run_id, position
        The step's place.
    step
        The step with its inputs pinned to digests.
    live
        An object lent by the process that runs the step, None in a process of its own.
    """

    def __init__(self, store: Store, run_id: str, position: int, step: Step, live: Any = None) -> None:
        self.store = store
        self.run_id = run_id
        self.position = position
        self.step = step
        self.live = live
        self._told_s = 0.0
        self._folders: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._folders:
            remove_tree(folder)

    def input(self, digest: str) -> Path:
        """Return the folder of an input after reading every byte of it.

        Raises
        ------
        UnknownArtifact, CorruptArtifact
            If it is not there or not whole.
        """
        self.store.artifacts.verify(digest)
        return self.store.artifacts.path(digest)

    def manifest(self, digest: str) -> Manifest:
        """Return what an input is."""
        return self.store.artifacts.manifest(digest)

    def data(self, digest: str) -> Any:
        """Return the value of a data artifact."""
        return data.read(self.input(digest))

    def function(self, reference: callables.CallableReference) -> Callable[..., Any]:
        """Return a function the user sent along."""
        return callables.receive(self.store, reference)

    def folder(self) -> Path:
        """Return a new empty folder on the store's file system; it goes when the step ends."""
        self._folders.append(self.store.scratch())
        return self._folders[-1]

    def resumable(self, like: Step | None = None) -> Path:
        """Return a folder that outlives a killed step: the same step, run again, finds it as it was left.

        `like` is the step without what may differ when it is run again, such as a budget. The step removes the
        folder when it needs it no more; gc does when nobody comes back.
        """
        return self.store.adopt(codec.digest(canonical(like or self.step)).removeprefix("sha256:")[:16])

    def stage(self, message: str, fraction: float | None = None, **more: Any) -> None:
        """Tell that a new part of the work begins, and the share done before it (0 to 1) when known.

        `more` are JSON-able facts for whoever draws the progress.
        """
        self._told_s = time.monotonic()
        payload = {"message": message, "fraction": fraction, **more}
        self.store.events.append(self.run_id, self.position, "step.progress", payload)

    def progress(self, message: str, fraction: float | None = None, **more: Any) -> None:
        """Tell how far the present part is; what comes within 0.2 s of the last word is dropped."""
        if time.monotonic() - self._told_s >= _PROGRESS_EVERY_S:
            self.stage(message, fraction, **more)

    def put(
        self,
        kind: str,
        files: Path,
        *,
        step: Step | None = None,
        signature: Signature | None = None,
        parents: tuple[str, ...] = (),
        data: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> str:
        """Store a folder as made by this step, or by another `step` it stands for; return the digest."""
        maker = step or self.step
        draft = ArtifactDraft(
            kind,
            files,
            signature=signature,
            parents=parents,
            step=canonical(maker),
            code=environment.code_version(maker.code),
            environment=environment.lock_digest(),
            data=data or {},
            metrics=metrics or {},
        )
        digest = self.store.artifacts.put(draft)
        provenance.note(self.store, digest, self.run_id, self.position)
        return digest
