"""What the NPU's compiler reported, as it lies in a compiled folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...errors import CorruptArtifact

TOSA_FILE = "model.tosa"
NPU_FILE = "npu.json"


def read_npu(compiled: Path) -> dict[str, Any]:
    """Return estimates (cycles, KiB, seconds), grids and the comparison with the quantized torch model.

    Raises
    ------
    CorruptArtifact
        If the file is missing or damaged.
    """
    path = compiled / NPU_FILE
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        grids = found["grids"]
        assert len(grids["input"]) == len(grids["output"]) == 2
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise CorruptArtifact(
            f"the NPU's record cannot be read: {error}", where=str(path), fix="compile it again"
        ) from error
    return found
