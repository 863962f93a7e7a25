"""What an artifact scores, how fast it is and how large: its own figures, else those of its nearest kin.

A variant is judged as it will be served, so its score and latency are also those of what was compiled from it;
a program's score is the baseline its newest variant was judged against.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..store import Store


@dataclass(frozen=True)
class Figures:
    """Figures of one artifact; None where nobody measured.

    Parameters
    ----------
    score
        By the user's own measure, higher is better.
    latency_ms
        Of one item, median, as judged beside its baseline.
    size_bytes
        Of all its files.
    """

    score: float | None
    latency_ms: float | None
    size_bytes: int


def figures(store: Store, digest: str) -> Figures:
    """Return the figures of an artifact.

    Raises
    ------
    UnknownArtifact
        If there is no such artifact.
    """
    manifest = store.artifacts.manifest(digest)
    size = sum(entry.size_bytes for entry in manifest.files)
    kin = [digest, *(manifest.parents if manifest.kind in ("compiled", "package") else ())]
    score, latency = _first(store, kin, "score"), _first(store, kin, "latency_ms")
    if score is None and manifest.kind == "program":
        score = _first(store, store.children(digest, "variant"), "baseline_score")
    return Figures(score, latency, size)


def _first(store: Store, digests: list[str], key: str) -> float | None:
    for digest in digests:
        metrics = store.artifacts.manifest(digest).metrics
        found = [m.value for m in store.measurements.of(digest) if m.key == key]
        if key in metrics or found:
            return metrics[key] if key in metrics else found[0]
    return None
