"""The program or variant folder a backend compiles: read once, run as the reference, then let go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CorruptArtifact
from ..program import (
    ONNX_FILE,
    PROGRAM_FILE,
    Examples,
    read_examples,
    read_program,
    read_signature,
    runner,
    to_arrays,
)
from ..types import Signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch.export import ExportedProgram

    from ..session import Runner

    Array = NDArray[Any]

QUANTIZATION_FILE = "quantization.json"
_LINEAR = ("linear", "matmul", "gemm")
"""Linear layers as a report names them: of torch programs, and of ONNX files."""


class Source:
    """A program or variant folder.

    Parameters
    ----------
    folder
        Holds ``program.pt2`` or ``program.onnx``, and what :mod:`workbench.program` describes.
    records
        A folder of tuning records to compile it with; None for none.

    Raises
    ------
    CorruptArtifact
        If a file is missing or damaged.
    """

    def __init__(self, folder: Path, records: Path | None = None) -> None:
        self.folder = folder
        self.records = records
        self.signature: Signature = read_signature(folder)
        self.examples: Examples = read_examples(folder)
        self._ways = _ways(folder / QUANTIZATION_FILE)
        self.quantized = self._ways is not None
        if not self.file.exists():
            raise CorruptArtifact("the folder holds no program", where=str(folder), fix="capture it again")

    @property
    def on_grids(self) -> bool:
        """Whether linear layers take activations on calibrated grids."""
        return any((kind, "static") in (self._ways or ()) for kind in _LINEAR)

    @property
    def weights_only(self) -> bool:
        """Whether only weights are quantized in some linear layer."""
        return any((kind, "weights") in (self._ways or ()) for kind in _LINEAR)

    @property
    def file(self) -> Path:
        """The model: ``program.onnx`` if it came from ONNX, else ``program.pt2``."""
        onnx = self.folder / ONNX_FILE
        return onnx if onnx.exists() else self.folder / PROGRAM_FILE

    @property
    def is_onnx(self) -> bool:
        """Whether the model is an ONNX file."""
        return self.file.name == ONNX_FILE

    @cached_property
    def program(self) -> ExportedProgram:
        """The torch program. Whoever lowers it may change it; :meth:`run` is for before that."""
        return _settled(read_program(self.folder))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, np.ndarray[Any, Any]]:
        """Return the reference outputs: torch eager, or for an ONNX file its graph run as written."""
        if self.is_onnx:
            return self._onnx.run(feeds)
        import torch

        return to_arrays(self._eager({k: torch.from_numpy(v.copy()) for k, v in feeds.items()}))

    @cached_property
    def _eager(self) -> Any:
        return runner(self.program, self.signature)

    @cached_property
    def _onnx(self) -> Runner:
        from ..onnx_session import OnnxRunner

        return OnnxRunner(self.file, optimize=False)

    def release(self) -> None:
        """Forget the program, so that its weights do not lie in memory twice while the result is checked."""
        for name in ("program", "_eager", "_onnx"):
            self.__dict__.pop(name, None)


def _ways(report: Path) -> set[tuple[str, str]] | None:
    """Return kind and way of the layers that a quantization's report tells of; None without a report."""
    try:
        rows = json.loads(report.read_bytes())["layers"]
        return {(str(row["kind"]), str(row["how"])) for row in rows}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(
            f"the report of the quantization cannot be read: {error}",
            where=str(report),
            fix="quantize it again",
        ) from error


def _settled(program: ExportedProgram) -> ExportedProgram:
    """Write `squeeze` of an axis whose size is an expression as what it was when captured: the one slice there is.

    Whoever decomposes the program asks again whether that size is 1, which the expression alone does not tell.
    """
    import torch

    for node in program.graph.nodes:
        if node.target is not torch.ops.aten.squeeze.dim:
            continue
        before, axis = node.args[0].meta["val"], node.args[1]
        if node.meta["val"].dim() < before.dim() and isinstance(before.shape[axis], torch.SymInt):
            node.target, node.args = torch.ops.aten.select.int, (node.args[0], axis, 0)
    return program
