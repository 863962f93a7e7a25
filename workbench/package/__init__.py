"""A compiled model as an OCI image layout: one folder that any OCI tool can copy, and that proves itself.

::

    oci-layout                   the layout's version
    index.json                   names the manifest by digest
    blobs/sha256/<hex>           manifest ─> config  (signature, lineage, backend, environment lock)
                                          ─> layers  (one blob per file, its path as title annotation)

Every byte is reached through a digest, so checking :data:`index.json`'s one digest checks all. The files are
blobs of their own rather than a tar: equal files are stored once, nothing has an owner, a time or a link to
get wrong, and there is no archive to unpack that could be a bomb.

Nothing here needs more than the standard library.
"""

from __future__ import annotations

from .environment import EnvironmentLock, lock
from .layout import PackageReport
from .reader import Limits, Package, inspect, unpack
from .writer import pack

__all__ = ["EnvironmentLock", "Limits", "Package", "PackageReport", "inspect", "lock", "pack", "unpack"]
