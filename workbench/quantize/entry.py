"""The verb: a program folder in, a variant folder out.

Reads and writes the folders described in :mod:`workbench.program`; the work itself is a scheme
(:mod:`workbench.quantize.base`), or :mod:`workbench.quantize.onnx_program` for a program captured from ONNX.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import codec
from workbench.atomic import write_bytes
from workbench.errors import MissingInput, QuantizeError
from workbench.program import (
    ONNX_FILE,
    Examples,
    read_examples,
    read_program,
    read_signature,
    runner,
    to_arrays,
    write_program,
)
from workbench.session import Session
from workbench.types import Signature

from .base import Outcome, Progress, Request, scheme
from .config import QuantizeConfig
from .report import QUANTIZATION_FILE, QuantizeReport

if TYPE_CHECKING:
    from torch.export import ExportedProgram

CAPTURE_FILE = "capture.json"


def quantize_program(
    program: Path,
    out: Path,
    config: QuantizeConfig,
    *,
    calibration: Any = None,
    progress: Progress | None = None,
    score: Callable[[Session], float] | None = None,
    max_drop: float | None = None,
) -> QuantizeReport:
    """Quantize the program of a folder and write the variant's folder. Equal inputs give equal bytes.

    Parameters
    ----------
    program
        A program folder (left as it is).
    out
        An existing empty folder to fill.
    config
        What to do.
    calibration
        Batches the model could be called with: tensors, tuples or mappings by input name. Read once, one
        batch at a time. None: no activation is calibrated.
    progress
        Called with the share done and a line of text.
    score, max_drop
        The user's measure of a session, higher is better, and what it may lose: what ``mixed`` searches by.

    Returns
    -------
    QuantizeReport
        The layers, worst first; also written as ``quantization.json``.

    Raises
    ------
    MissingInput
        If mode ``static`` comes without calibration data.
    EmptyData, NonFinite, BadTensor
        If the data or the weights are unusable; the message names the batch or the layer.
    QuantizeError
        If there is no such scheme, or not for a program that came as an ONNX file.
    """
    tell = progress or (lambda share, text: None)
    if config.mode == "static" and config.scheme != "none" and calibration is None:
        raise MissingInput(
            "static quantization needs calibration data",
            where="calibration",
            fix="give --calibrate DATA (16 to 128 batches are usual), or use mode dynamic or auto",
        )
    signature = read_signature(program)
    measure = None if score is None else lambda variant: score(_session(variant, signature))
    request = Request(config, signature, calibration, tell, measure, max_drop)
    if (program / ONNX_FILE).exists():
        from .onnx_program import quantize_onnx

        if config.scheme not in ("int8", "none"):
            raise QuantizeError(
                f"scheme {config.scheme} needs a program captured from torch; this one came as an ONNX file",
                where=f"--scheme {config.scheme}",
                fix="capture the torch module, or use --scheme int8",
            )
        if config.smooth or config.mode == "weights":
            raise QuantizeError(
                "an ONNX file is quantized with its activations, and not equalized",
                where="quantize, smooth" if config.smooth else "quantize, mode",
                fix="capture the torch module, or use mode static or dynamic",
            )
        report = quantize_onnx(program, out, request)
    else:
        report = _quantize_torch(program, out, request)
    write_bytes(out / QUANTIZATION_FILE, codec.dumps(report).encode())
    if (program / CAPTURE_FILE).exists():
        shutil.copyfile(program / CAPTURE_FILE, out / CAPTURE_FILE)
    tell(1.0, "done")
    return report


def _quantize_torch(folder: Path, out: Path, request: Request) -> QuantizeReport:
    import torch

    request.progress(0.0, "reading the program")
    program = read_program(folder)
    if request.calibration is None and request.config.scheme == "mixed":
        request = replace(request, calibration=[dict(read_examples(folder).inputs)])
    report_of = _Before(program, request.config)
    outcome = scheme(request.config.scheme)(program, request)
    del program  # its float weights go before the variant is run and written
    request.progress(0.85, "running the examples")
    inputs = read_examples(folder).inputs
    run = runner(outcome.program, request.signature)
    outputs = to_arrays(run({k: torch.from_numpy(v) for k, v in inputs.items()}))
    request.progress(0.9, "writing the variant")
    write_program(out, outcome.program, request.signature, Examples(inputs, outputs))
    return report_of(outcome)


def _session(program: ExportedProgram, signature: Signature) -> Session:
    """Return a program as torch runs it."""
    import torch

    run = runner(program, signature)

    class Eager:
        def run(self, feeds: Any) -> Any:
            return to_arrays(run({name: torch.from_numpy(array.copy()) for name, array in feeds.items()}))

    return Session(signature, Eager(), "candidate")


class _Before:
    """Remembers a program's size, to report on what became of it."""

    def __init__(self, program: ExportedProgram, config: QuantizeConfig) -> None:
        self.config = config
        self.parameters = sum(p.numel() for p in program.parameters())
        self.size = _bytes(program)

    def __call__(self, outcome: Outcome) -> QuantizeReport:
        return QuantizeReport(
            config=self.config,
            layers=outcome.layers,
            skipped=outcome.skipped,
            total_parameters=self.parameters,
            bytes_before=self.size,
            bytes_after=_bytes(outcome.program),
            calibration_batches=outcome.calibration_batches,
            points=outcome.points,
        )


def _bytes(program: ExportedProgram) -> int:
    """Return the size of all weights and buffers; tied ones count once."""
    from torch import Tensor

    held = [*program.state_dict.values(), *program.constants.values()]
    sizes = {t.data_ptr(): t.numel() * t.element_size() for t in held if isinstance(t, Tensor)}
    return sum(sizes.values())
