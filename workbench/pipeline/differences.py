"""What differs between two artifacts, and between what they were made from: causes first.

The parents are compared before the artifacts themselves, so the first line is the earliest difference found.
Each artifact is compared once, however many ways lead to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..package.environment import EnvironmentLock
from ..session import describe
from ..store import Store
from ..types import Manifest
from .answers import parameters_of
from .locks import changes, lock_of
from .views import label

_HARDWARE = ("processor", "features", "cores", "memory_bytes", "kernel", "accelerators", "threads", "host")
_SHORT = len("sha256:") + 12


@dataclass(frozen=True)
class Difference:
    """One difference.

    Parameters
    ----------
    of
        The artifacts that are compared: a name, or the kind of an ancestor.
    aspect
        ``parameters data code environment hardware files figures signature kind``.
    what
        Which parameter, role, package, file, …
    before, after
        The two values, empty where there is none.
    """

    of: str
    aspect: str
    what: str
    before: str
    after: str


def differences(store: Store, before: str, after: str) -> list[Difference]:
    """Compare two artifacts and their ancestors.

    Parameters
    ----------
    before, after
        Digests.

    Raises
    ------
    UnknownArtifact, CorruptArtifact
        If one is not there or not whole.
    """
    return list(_compare(store, before, after, "", set()))


def _compare(
    store: Store, before: str, after: str, of: str, seen: set[tuple[str, str]]
) -> Iterator[Difference]:
    if before == after or (before, after) in seen:
        return
    seen.add((before, after))
    old, new = store.artifacts.manifest(before), store.artifacts.manifest(after)
    of = of or f"{label(store, before)} → {label(store, after)}"
    for kind, first, second in _pairs(store, old, new):
        if first and second:
            yield from _compare(store, first, second, f"{kind} it was made from", seen)
        else:
            yield Difference(of, "made from", kind, label(store, first), label(store, second))
    yield from (Difference(of, *one) for one in _facts(store, old, new))
    yield from (Difference(of, *one) for one in _hardware(store, before, after))
    yield from (Difference(of, *one) for one in _results(old, new))


def _pairs(store: Store, old: Manifest, new: Manifest) -> Iterator[tuple[str, str, str]]:
    """Yield parents that differ, those of one kind side by side."""
    kinds: dict[str, tuple[list[str], list[str]]] = {}
    for side, parents in enumerate((old.parents, new.parents)):
        other = (new.parents, old.parents)[side]
        for parent in parents:
            if parent not in other:
                kind = store.artifacts.manifest(parent).kind if store.artifacts.exists(parent) else "removed"
                kinds.setdefault(kind, ([], []))[side].append(parent)
    for kind, (first, second) in sorted(kinds.items()):
        for at in range(max(len(first), len(second))):
            yield kind, first[at] if at < len(first) else "", second[at] if at < len(second) else ""


Fact = tuple[str, str, str, str]


def _facts(store: Store, old: Manifest, new: Manifest) -> Iterator[Fact]:
    if old.kind != new.kind:
        yield "kind", "", old.kind, new.kind
    ours = {*old.parents, *new.parents}
    yield from (
        ("parameters", key, a, b)
        for key, a, b in _unequal(parameters_of(old), parameters_of(new))
        if not ours & {a, b}  # parents are compared in their own right
    )
    yield from (("data", role, a[:_SHORT], b[:_SHORT]) for role, a, b in _unequal(old.data, new.data))
    if old.code != new.code:
        yield "code", "workbench", old.code, new.code
    if old.environment != new.environment:
        yield from _environment(store, old.environment, new.environment)


def _environment(store: Store, old: str, new: str) -> Iterator[Fact]:
    first, second = lock_of(store, old), lock_of(store, new)
    if isinstance(first, EnvironmentLock) and isinstance(second, EnvironmentLock):
        yield from (("environment", *one) for one in changes(first, second))
    else:
        yield "environment", "lock", old[:_SHORT], new[:_SHORT]


def _hardware(store: Store, before: str, after: str) -> Iterator[Fact]:
    """Compare the machines and the working trees that made them last."""
    first, second = store.origins.of(before), store.origins.of(after)
    if not first or not second:
        return
    old, new = first[-1], second[-1]
    for key, a, b in _unequal(old.facts, new.facts):
        if key in _HARDWARE:
            yield "hardware", key, a, b
    trees = [one.sources.get("tree", "") for one in (old, new)]
    if trees[0] != trees[1]:
        yield "code", "working tree", trees[0][:12], trees[1][:12]


def _results(old: Manifest, new: Manifest) -> Iterator[Fact]:
    if old.signature is not None and new.signature is not None and old.signature != new.signature:
        yield "signature", "inputs", describe(old.signature), describe(new.signature)
    sizes = [{one.path: (one.digest, one.size_bytes) for one in side.files} for side in (old, new)]
    for path in sorted(sizes[0].keys() | sizes[1].keys()):
        a, b = sizes[0].get(path), sizes[1].get(path)
        if a != b:
            yield "files", path, _file(a), _file(b)
    yield from (("figures", *one) for one in _unequal(old.metrics, new.metrics))


def _file(entry: tuple[str, int] | None) -> str:
    return f"{entry[1]:,} bytes {entry[0].removeprefix('sha256:')[:8]}" if entry else ""


def _unequal(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield key, _text(old.get(key)), _text(new.get(key))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
