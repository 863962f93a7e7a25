"""Frozen records that cross layers: the vocabulary the verbs share.

Siblings on layer 1 never import one another; they meet through these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .codec import register

Dim = int | str
"""A fixed size, or the name of a dynamic dimension such as ``"batch"``."""

OutputStructure = Literal["tensor", "tuple", "dict"]


@register("tensor_spec")
@dataclass(frozen=True)
class TensorSpec:
    """One named tensor of a signature.

    Parameters
    ----------
    name
        The name requests use.
    dtype
        numpy name: ``float32 float16 float64 int8 uint8 int16 int32 int64 bool``.
    shape
        Sizes; a string names a dynamic dimension.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]


@register("signature")
@dataclass(frozen=True)
class Signature:
    """What a model takes and gives, in the order of its ``forward``.

    Parameters
    ----------
    inputs, outputs
        Flattened tensors in call order.
    output_structure
        How the original module returned its outputs: one tensor, a tuple, or a dict (whose keys are
        the output names).
    preprocessing
        Declared preprocessing that turns raw data into `inputs`: ``"module:function"`` or source text;
        empty when none was declared.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    output_structure: OutputStructure = "tensor"
    preprocessing: str = ""


@register("file_entry")
@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact: relative POSIX path, ``sha256:<hex>`` and size."""

    path: str
    digest: str
    size_bytes: int


@register("manifest")
@dataclass(frozen=True)
class Manifest:
    """What an artifact is and where it came from. Its canonical text's digest *is* the artifact.

    Holds nothing that differs between two equal runs (no time, no host, no latency): the same recipe
    yields the same digest under every executor. Measured figures live beside it in the store.

    Parameters
    ----------
    kind
        ``program | variant | compiled | package | trace | data``.
    files
        Every file, by digest, sorted by path.
    parents
        Digests of the artifacts it was made from.
    step
        The recipe step (JSON form) that made it.
    code
        Version of the code that made it (package version, git commit and dirty-tree digest).
    environment
        Digest of the environment lock.
    data
        Digests of data sets by role (``calibration``, ``evaluation``).
    metrics
        Deterministic figures only: accuracy, size, share of parameters covered.
    """

    kind: str
    files: tuple[FileEntry, ...]
    signature: Signature | None = None
    parents: tuple[str, ...] = ()
    step: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    environment: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
