"""What differs between two artifacts, aspect by aspect.

The step and its parameters, the inputs, the data, the code, the environment down to the package, the files,
the figures. The manifest holds all of it, so two artifacts of different stores, machines or years can be compared; only
the packages behind an environment's digest need a store that has seen that environment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import codec
from ..store import Store
from ..types import Manifest

_SHORT = len("sha256:") + 12
_MOST_PACKAGES = 20
# Fields of a canonical step that say which class read it, not what it was asked to do.
_PLUMBING = {"type", "version"}


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same.

    Parameters
    ----------
    aspect
        ``kind step input data code environment file figure signature``.
    what
        Which parameter, package, file or figure.
    before, after
        Both values as text; empty where one has none.
    """

    aspect: str
    what: str
    before: str
    after: str


def differences(store: Store, before: str, after: str) -> list[Difference]:
    """Return what differs between two artifacts, causes first and effects (files, figures) last.

    Parameters
    ----------
    before, after
        Digests.

    Raises
    ------
    UnknownArtifact, CorruptArtifact
        If one is not there or its manifest is not whole.
    """
    first, second = store.artifacts.manifest(before), store.artifacts.manifest(after)
    return [
        *_pairs("kind", {"": first.kind}, {"": second.kind}),
        *_pairs("step", _flat(_asked(first)), _flat(_asked(second))),
        *_pairs("input", dict(_parents(store, first)), dict(_parents(store, second))),
        *_pairs("data", _short(first.data), _short(second.data)),
        *_pairs("code", {"": first.code}, {"": second.code}),
        *_environments(store, first.environment, second.environment),
        *_pairs("signature", _signature(first), _signature(second)),
        *_pairs("file", _files(first), _files(second)),
        *_pairs("figure", _figures(store, before, first), _figures(store, after, second)),
    ]


def _pairs(aspect: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    for what in dict.fromkeys([*before, *after]):
        one, other = before.get(what, ""), after.get(what, "")
        if one != other:
            yield Difference(aspect, what, one, other)


def _asked(manifest: Manifest) -> Any:
    """Return the step's parameters without its inputs and data, which are compared as such."""
    inputs = {*manifest.parents, *manifest.data.values()}
    return {
        key: value for key, value in manifest.step.items() if not (isinstance(value, str) and value in inputs)
    }


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Return nested JSON as dotted keys: ``config.scheme`` -> ``int8``."""
    if isinstance(value, Mapping):
        flat: dict[str, str] = {}
        for key, inner in value.items():
            if key not in _PLUMBING or not prefix:
                flat |= _flat(inner, f"{prefix}.{key}" if prefix else key)
        return flat
    return {prefix: value if isinstance(value, str) else json.dumps(value, sort_keys=True)}


def _parents(store: Store, manifest: Manifest) -> Iterator[tuple[str, str]]:
    for position, digest in enumerate(manifest.parents):
        names = store.names.of(digest)
        yield str(position), f"{names[0]} {digest[:_SHORT]}" if names else digest[:_SHORT]


def _short(digests: Mapping[str, str]) -> dict[str, str]:
    return {role: digest[:_SHORT] for role, digest in digests.items()}


def _environments(store: Store, before: str, after: str) -> Iterator[Difference]:
    """Compare two locks package by package; by digest alone where the store knows one of them no more."""
    if before == after:
        return
    locks = [_lock(store, digest) for digest in (before, after)]
    if locks[0] is None or locks[1] is None:
        yield Difference("environment", "lock", before[:_SHORT], after[:_SHORT])
        return
    found = list(_pairs("environment", locks[0], locks[1]))
    yield from found[:_MOST_PACKAGES]
    if len(found) > _MOST_PACKAGES:
        yield Difference("environment", f"{len(found) - _MOST_PACKAGES} more packages", "", "")


def _lock(store: Store, digest: str) -> dict[str, str] | None:
    from ..package.environment import EnvironmentLock

    text = store.environments.text(digest) if digest else None
    lock = codec.loads(text) if text else None
    if not isinstance(lock, EnvironmentLock):
        return None
    packages = dict(line.split("==", 1) for line in lock.packages)
    return {"python": lock.python, "platform": lock.platform, **packages}


def _signature(manifest: Manifest) -> dict[str, str]:
    if manifest.signature is None:
        return {}
    tensors = [("input", s) for s in manifest.signature.inputs]
    tensors += [("output", s) for s in manifest.signature.outputs]
    shown = {f"{role} {s.name}": f"{s.dtype}[{', '.join(map(str, s.shape))}]" for role, s in tensors}
    return shown | {"preprocessing": manifest.signature.preprocessing.partition("\n")[0]}


def _files(manifest: Manifest) -> dict[str, str]:
    return {f.path: f"{f.size_bytes:,} bytes {f.digest[:_SHORT]}" for f in manifest.files}


def _figures(store: Store, digest: str, manifest: Manifest) -> dict[str, str]:
    figures = {key: f"{value:.4g}" for key, value in sorted(manifest.metrics.items())}
    return figures | {m.key: f"{m.value:.4g} {m.unit}".strip() for m in store.measurements.of(digest)}
