"""A compiled model as an OCI image layout: one folder that any OCI tool can copy, and that proves itself.

::

    oci-layout                   the layout's version
    index.json                   names the manifest by digest
    blobs/sha256/<hex>           manifest ─> config  (signature, lineage, backend, environment lock)
                                          ─> layers  (one blob per file, its path as title annotation,
                                                      and the bill of materials)
                                 and, when signed, the signature's manifest, which names the package's

Every byte is reached through a digest, so checking :data:`index.json`'s one digest checks all. The files are
blobs of their own rather than a tar: equal files are stored once, nothing has an owner, a time or a link to
get wrong, and there is no archive to unpack that could be a bomb.

Only signing needs more than the standard library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .environment import EnvironmentLock, lock

if TYPE_CHECKING:
    from .blobs import Limits
    from .layout import PackageReport
    from .reader import Package, inspect, signatures, unpack
    from .reference import Reference
    from .transfer import pull_layout, push_layout
    from .writer import pack

__all__ = [
    "EnvironmentLock",
    "Limits",
    "Package",
    "PackageReport",
    "Reference",
    "inspect",
    "lock",
    "pack",
    "pull_layout",
    "push_layout",
    "signatures",
    "unpack",
]

# Every step's process asks for its environment; a registry's HTTP, signatures and archives are for those who need them.
_HOMES = {
    "Limits": "blobs",
    "PackageReport": "layout",
    **dict.fromkeys(("Package", "inspect", "signatures", "unpack"), "reader"),
    "Reference": "reference",
    **dict.fromkeys(("pull_layout", "push_layout"), "transfer"),
    "pack": "writer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
