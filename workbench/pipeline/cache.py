"""A step that ran before with the same code, parameters, inputs and environment need not run again.

The key is the digest of: the source of the step's packages, the step's canonical form (inputs pinned to
digests, callables by fingerprint), and the environment lock. It says nothing of where or by which executor, so a
verb of a notebook finds what a pipeline on a cluster made, and the other way round.
"""

from __future__ import annotations

from .. import codec
from ..store import Store
from .environment import code_digest, lock_digest
from .recipe import Step, canonical
from .result import StepResult
from .workers.order import Outcome


def key_of(step: Step, *, code: str = "", environment: str = "") -> str:
    """Return the cache key of a step whose inputs are pinned, empty for one that is never cached.

    `code` and `environment` are the digests of both where the caller knows them: reading them takes milliseconds.
    """
    if not step.code:
        return ""
    return codec.digest(
        {
            "code": code or code_digest(step.code),
            "step": canonical(step),
            "environment": environment or lock_digest(),
        }
    )


def remember(store: Store, step: Step, result: StepResult) -> None:
    """Keep a result as that of a step that did not run itself, but would make this very artifact."""
    store.results.set(key_of(step), outcome_of(result).to_json())


def outcome_of(result: StepResult) -> Outcome:
    """Return what a verb left, in the form that every step's outcome has."""
    return Outcome(artifacts={OUTPUT: result.output}, result=codec.to_json(result))


OUTPUT = "artifact"
"""What the one output of a verb is called in a pipeline."""
