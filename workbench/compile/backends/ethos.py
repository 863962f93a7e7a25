"""Arm Ethos-U NPUs by ExecuTorch and Vela: a command stream, the compiler's estimates, and a check bit for bit.

A float program is quantized to int8 with the captured inputs; an int8 program keeps its weights and the grids of its
activations, and what it leaves in float is quantized so. The graph's result in the TOSA reference model is
compared element by element with the quantized torch model's; what runs here is that reference model, not an NPU.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atomic import write_bytes
from ...errors import CompileError, WorkbenchError
from ..base import Progress
from ..config import CompileConfig
from ..options import NoOptions
from ..source import Source

if TYPE_CHECKING:
    from ...session import Runner


class Ethos:
    """Hands the program to a tool environment of its own."""

    name = "ethos"
    about = "Arm Ethos-U NPUs: int8 command stream by ExecuTorch and Vela"
    reference = False
    quantizes = True
    reported = (
        "accelerator",
        "cycles_npu",
        "cycles_total",
        "sram_memory_used",
        "off_chip_flash_memory_used",
        "elements",
        "equal",
    )
    """What the report shows of the NPU compiler's estimates (cycles, KiB) and of the comparison."""
    options = NoOptions
    schemes: tuple[str, ...] = ()
    targets = ("ethos-u55", "ethos-u65", "ethos-u85")

    def available(self) -> WorkbenchError | None:
        """Need nothing here: the tool environment is made on first use."""
        return None

    def refuses(self, target: str) -> WorkbenchError | None:
        """Need nothing for one NPU that another does not need."""
        return None

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Write ``model.npz`` (the command stream), ``model.tosa``, ``model.pte`` and ``npu.json``.

        Raises
        ------
        CompileError
            If the program is an ONNX file or quantized to something but int8, has several inputs or outputs, or an
            operator stays on the CPU; or if the NPU's compiler fails.
        MissingDependency
            If the tool environment cannot be made.
        """
        import numpy

        from ..npu.environment import is_made, work
        from ..npu.record import read_npu

        _check(source)
        target = config.target or self.targets[0]
        progress(
            0.3, f"compiling for {target}" if is_made() else "making the tool environment, once: minutes"
        )
        with tempfile.TemporaryDirectory(dir=out, prefix=".build-") as folder:
            inputs: dict[str, Any] = dict(source.examples.inputs)
            _write_program(source, Path(folder))
            numpy.savez(Path(folder) / "inputs.npz", **inputs)
            work(["compile", f"{folder}/program.pt2", f"{folder}/inputs.npz", target, str(out)])
        found = read_npu(out)
        if found["left_on_cpu"]:
            raise CompileError(
                f"the NPU has no form for {', '.join(found['left_on_cpu'])}",
                where=target,
                fix="express them with others, or use the backend onnxruntime",
            )
        if found["equal"] != found["elements"]:
            raise CompileError(
                f"{found['elements'] - found['equal']} of {found['elements']} elements differ between the TOSA"
                f" reference model and the quantized torch model, by at most {found['largest_step']} steps",
                where=target,
                fix="report it with the program: the two are meant to agree bit for bit",
            )
        return {"target": target, **{key: str(found[key]) for key in self.reported if key in found}}

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return a runner of the TOSA reference model."""
        from ..npu.runner import TosaRunner

        return TosaRunner(compiled)

    def rehearse(self, compiled: Path, threads: int) -> Runner:
        """Return the same."""
        return self.load(compiled, threads)


def _write_program(source: Source, folder: Path) -> None:
    """Write ``program.pt2``; of a quantized program its float form, and its grids as ``grids.json``."""
    import torch

    program = source.program
    if source.quantized:
        from ..npu.floating import floating

        module, grids = floating(program)
        (given,) = source.examples.inputs.values()
        with torch.no_grad():
            program = torch.export.export(module, (torch.tensor(given[:1]),))
        write_bytes(folder / "grids.json", json.dumps(grids).encode())
    torch.export.save(program, folder / "program.pt2")


def _check(source: Source) -> None:
    """Refuse what is not a torch program of one input and one output of fixed size."""
    signature = source.signature
    what = ""
    if source.is_onnx:
        what = "it is an ONNX file"
    elif len(signature.inputs) != 1 or len(signature.outputs) != 1:
        what = f"it has {len(signature.inputs)} inputs and {len(signature.outputs)} outputs"
    elif any(isinstance(dim, str) for dim in signature.inputs[0].shape[1:]):
        what = "sizes other than the batch are dynamic"
    elif signature.inputs[0].shape[:1] not in {(1,)} and not isinstance(signature.inputs[0].shape[0], str):
        what = "its batch is fixed, and not one row"
    if what:
        raise CompileError(
            f"the backend ethos compiles torch programs of one input and one output of fixed sizes: {what}",
            where=str(source.file),
            fix='give a torch program, captured with dynamic="INPUT:0=batch"',
        )


BACKEND = Ethos()
