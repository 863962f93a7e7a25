"""The members of a family that is one file each: what a choice may be, without importing any of them."""

from __future__ import annotations

import pkgutil
from pathlib import Path

_PACKAGE = Path(__file__).parents[2]


def members(folder: str) -> tuple[str, ...]:
    """Return the members of a folder of the package, by name.

    Examples
    --------
    >>> members("compile/backends")
    ('eager', 'ethos', 'inductor', 'onnxruntime', 'openvino', 'ternary', 'triton', 'tvm')
    """
    found = pkgutil.iter_modules([str(_PACKAGE / folder)])
    return tuple(sorted(module.name for module in found if not module.name.startswith("_")))
