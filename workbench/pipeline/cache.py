"""A step that ran before with the same code, parameters, inputs and environment need not run again.

The key is the digest of: the source of the step's packages, the step's canonical form (inputs pinned to
digests, callables by fingerprint), and the environment lock. A hit costs a few file reads and one query; no
process is started.
"""

from __future__ import annotations

from .. import codec
from ..store import Store
from .environment import code_digest, lock_digest
from .recipe import Step, canonical
from .result import StepResult


def key_of(step: Step) -> str:
    """Return the cache key of a step whose inputs are pinned, empty for one that is never cached."""
    if not step.code:
        return ""
    return codec.digest(
        {
            "code": code_digest(step.code),
            "step": canonical(step),
            "environment": lock_digest(),
        }
    )


def lookup(store: Store, key: str) -> StepResult | None:
    """Return the result recorded under a key, or None if there is none or its artifact is gone or cut."""
    form = store.results.get(key) if key else None
    if form is None:
        return None
    result = codec.from_json(form)
    return result if isinstance(result, StepResult) and store.artifacts.exists(result.output) else None
