"""The reference backend: runs the program itself, in torch (or an ONNX file as written)."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...onnx_session import OnnxRunner
from ...program import ONNX_FILE, PROGRAM_FILE, read_program, read_signature, runner, to_arrays
from ..base import Progress
from ..config import CompileConfig
from ..source import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...session import Runner

    Array = NDArray[Any]
