"""Small artifacts inside the pipeline that needs them: the same text then runs where this store is not.

An importer of an artifact of this store becomes a step that carries the artifact's bytes. Whoever runs it believes
nothing: what comes out has the digest that went in, or the step fails.
"""

from __future__ import annotations

import base64
import copy
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import CorruptArtifact, InputError
from ..store import Store
from .dsl.emit import command
from .walk.orders import STORE_SCHEME
from .workers import parcel
from .workers.order import GIVEN

if TYPE_CHECKING:
    from .walk.driver import PipelineRun

MOST_BYTES = 1 << 19
"""The most that all of a pipeline's artifacts may take: Kubernetes stores a pipeline as one object of about 1.5 MB."""

_OPENED_BYTES = 1 << 28


def carried(store: Store, work: PipelineRun) -> PipelineRun:
    """Return the pipeline with the artifacts of this store that it reads inside it.

    Raises
    ------
    InputError
        If they are too large; says which and how large.
    UnknownArtifact, CorruptArtifact
        If one is not there, or not whole.
    """
    spec: Any = copy.deepcopy(dict(work.spec))
    executors, sizes = spec["deploymentSpec"]["executors"], dict[str, int]()
    for component in spec["components"].values():
        label = component.get("executorLabel", "")
        address = executors.get(label, {}).get("importer", {}).get("artifactUri", {}).get("constant", "")
        if address.startswith(STORE_SCHEME):
            name = address.removeprefix(STORE_SCHEME)
            text = packed(store, store.names.resolve(name))
            sizes[name] = len(text)
            executors[label] = {"container": command(GIVEN, text, component)}
    if sum(sizes.values()) > MOST_BYTES:
        said = ", ".join(f"{name[:19]} ({size / 1e6:.3g} MB)" for name, size in sizes.items())
        raise InputError(
            f"a pipeline cannot carry {said}: {MOST_BYTES / 1e6:.2g} MB are the most",
            where=work.name,
            fix="let a step of the pipeline make it, or pull it from a registry in a step",
        )
    return replace(work, spec=spec)


def packed(store: Store, digest: str) -> str:
    """Return an artifact as text, the same every time: its digest, and its files compressed."""
    content = zlib.compress(parcel.pack(store, digest), 9)
    return f"{digest} {base64.b64encode(content).decode()}"


def unpack(store: Store, text: str) -> str:
    """Take the artifact in a text into a store, and return its digest.

    Raises
    ------
    CorruptArtifact
        If the text is not that artifact.
    """
    digest, _, content = text.partition(" ")
    opened = zlib.decompressobj()
    try:
        bytes_ = opened.decompress(base64.b64decode(content, validate=True), _OPENED_BYTES)
        if not opened.eof:
            raise ValueError(f"it is cut off, or opens to more than {_OPENED_BYTES} bytes")
    except (ValueError, zlib.error) as error:
        raise CorruptArtifact(
            f"the artifact in the pipeline cannot be read: {error}",
            where=digest,
            fix="export the pipeline again: %mlops export kubeflow PIPELINE",
        ) from error
    if not store.artifacts.exists(digest):
        parcel.unpack(store, digest, bytes_)
    return digest
