"""torch's own compiler: C++ for the whole program, ahead of time, as an AOTInductor package ``model.pt2``.

Weights are frozen: folded, laid out for the processor and, where grids are calibrated, multiplied as integers. Loading
needs torch, but neither its compiler nor a C++ compiler. The code is for processors that can do what this one can;
``inductor.json`` says what that is, and loading checks it.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...atomic import write_bytes
from ...errors import (
    CompileError,
    CorruptArtifact,
    InputError,
    MissingDependency,
    WorkbenchError,
    missing_dependency,
)
from ...kernels.features import cpu_features
from ...operators import decompositions
from ...program import read_signature, to_arrays
from ...quiet import quiet
from ...types import Signature
from ..base import ForThisMachine, Progress
from ..config import CompileConfig
from ..cpp_builds import builds_side_by_side, settings_for
from ..one_channel import widen
from ..options import read_options
from ..places import module_of
from ..source import Source
from ..torch_threads import torch_threads
from ..torchao_linears import with_torchao

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch.export import ExportedProgram

    from ...session import Runner

    Array = NDArray[Any]

MODEL_FILE = "model.pt2"
RECORD_FILE = "inductor.json"
_COUNTED = ("avx", "fma", "f16c", "amx", "vnni", "sse", "asimd", "sve", "i8mm", "bf16")
"""Beginnings of the names of instruction sets that the compiler may use."""


@dataclass(frozen=True)
class InductorOptions:
    """How inductor compiles.

    Parameters
    ----------
    freezing
        Fold weights and lay them out for the processor; without it they stay as they are.
    autotune
        Measure several implementations of every matrix product while compiling; takes minutes.
    torchao
        Linear layers of a float program in torchao's 8-bit tensors: ``int8-dynamic``, with activations, or
        ``int8-weights``. Outputs are then compared with those of the float program.
    """

    freezing: bool = True
    autotune: bool = False
    torchao: Literal["none", "int8-dynamic", "int8-weights"] = "none"


class Inductor(ForThisMachine):
    """Decomposes quantized operators into torch's own and compiles ahead of time."""

    name = "inductor"
    about = "torch.compile ahead of time, weights frozen; needs a C++ compiler"
    reference = False
    options = InductorOptions
    schemes = ("none", "int8-static", "int8-dynamic")
    quantizing = ("torchao",)

    def available(self) -> WorkbenchError | None:
        """Need torch; a C++ compiler only to compile."""
        return None if importlib.util.find_spec("torch") else missing_dependency("torch", "torch")

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Write ``model.pt2``.

        Raises
        ------
        MissingDependency
            If there is no C++ compiler.
        CompileError
            If it is an ONNX file, or inductor refuses the program.
        """
        import torch

        options = read_options(InductorOptions, config.options, self.name)
        if source.is_onnx:
            raise CompileError(
                "the backend inductor compiles torch programs, this one is an ONNX file",
                where=str(source.file),
                fix="use the backend onnxruntime or openvino",
            )
        if not any(map(shutil.which, ("g++", "clang++", "c++"))):
            raise MissingDependency("no C++ compiler is installed", where="g++", fix="apt-get install g++")
        _check_recurrent(source.program)
        with builds_side_by_side():
            program = _prepared(source, options)
            origins = {
                n.name: n.meta["from_node"][-1].name for n in program.graph.nodes if n.meta.get("from_node")
            }
            progress(0.4, "writing and compiling C++")
            _package(program, out / MODEL_FILE, options, config.threads)
        used = sorted(one for one in cpu_features() if one.startswith(_COUNTED) or "vnni" in one)
        write_bytes(out / RECORD_FILE, json.dumps({"needs": used, "origins": origins}).encode())
        return {"torch": str(torch.__version__)}

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return a runner of ``model.pt2``."""
        return InductorRunner(compiled, threads)


class InductorRunner:
    """One forward pass of an AOTInductor package.

    Raises
    ------
    CorruptArtifact
        If a file is missing or damaged.
    CompileError
        If this processor lacks an instruction set the code may use.
    """

    def __init__(self, compiled: Path, threads: int = 1) -> None:
        import torch

        path = compiled / MODEL_FILE
        self._signature = read_signature(compiled)
        self._threads = threads
        _check_cpu(compiled)
        try:
            # Not torch._inductor.aoti_load_package: it starts the C++ compiler to find out about this machine.
            self._package = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", False, 1, -1)
        except (RuntimeError, OSError) as error:
            raise CorruptArtifact(
                f"torch cannot load the package: {str(error).strip().partition(chr(10))[0]}",
                where=str(path),
                fix="compile it again",
            ) from error

    def run(self, feeds: Mapping[str, Array]) -> dict[str, np.ndarray[Any, Any]]:
        """Return the outputs by name.

        Raises
        ------
        CompileError
            If a size is beyond what the program was captured for.
        """
        import torch

        inputs = [torch.tensor(feeds[spec.name]) for spec in self._signature.inputs]
        try:
            with torch_threads(self._threads):
                outputs = self._package.boxed_run(inputs)
        except RuntimeError as error:
            shapes = ", ".join(f"{k}: {v.dtype}{list(v.shape)}" for k, v in feeds.items())
            raise CompileError(
                f"inductor failed: {str(error).strip().partition(chr(10))[0]}",
                where=shapes,
                fix="check sizes and indices: they must be within what the model was captured for",
            ) from error
        return _named(self._signature, outputs)


def _named(signature: Signature, outputs: list[Any]) -> dict[str, np.ndarray[Any, Any]]:
    names = [spec.name for spec in signature.outputs]
    return to_arrays(dict(zip(names, [one for one in outputs if one is not None], strict=True)))


def _prepared(source: Source, options: InductorOptions) -> ExportedProgram:
    """Return the program in torch's own operators, with the example inputs that inductor asks for."""
    import torch
    from torch.utils import _pytree as pytree

    program = source.program
    spec = program.call_spec.in_spec
    assert spec is not None, "a captured program says how it is called"
    leaves = [torch.tensor(source.examples.inputs[one.name]) for one in source.signature.inputs]
    if options.torchao != "none":
        if source.quantized:
            raise InputError(
                "the program is quantized already",
                where="torchao",
                fix="leave the option out, or compile the float program",
            )
        program = with_torchao(program, leaves, options.torchao)
    table = decompositions(program)
    if table:
        widen(program)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = program.run_decompositions(table)
    program._example_inputs = pytree.tree_unflatten(leaves, spec)
    return program


def _package(program: ExportedProgram, file: Path, options: InductorOptions, threads: int) -> None:
    import torch

    settings = {
        "freezing": options.freezing,
        "max_autotune": options.autotune,
        "max_autotune_gemm_backends": "CPP,ATEN",
        **settings_for(sum(one.numel() for one in program.state_dict.values())),
    }
    try:
        with quiet("torch._inductor"), torch.no_grad(), torch_threads(threads):
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(file), inductor_configs=settings
            )
    except Exception as error:
        raise _refused(error) from error


def _check_recurrent(program: ExportedProgram) -> None:
    """Refuse what inductor would unroll for the captured number of steps, although others are promised."""
    import torch

    for node in program.graph.nodes:
        if not str(node.target).startswith(("aten.gru.input", "aten.rnn_")):
            continue
        steps = node.args[0].meta["val"].shape[1 if node.args[8] else 0]
        if isinstance(steps, torch.SymInt):
            raise CompileError(
                f"inductor unrolls {node.target} for one number of steps, and this program takes any",
                where=module_of(node),
                fix='use the backend onnxruntime or openvino, or capture with dynamic="none"',
                operators=str(node.target),
                backends=["onnxruntime", "openvino", "eager"],
            )


def _check_cpu(compiled: Path) -> None:
    path = compiled / RECORD_FILE
    try:
        needs = set(json.loads(path.read_bytes())["needs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(
            f"{RECORD_FILE} cannot be read: {error}", where=str(path), fix="compile it again"
        ) from error
    if missing := sorted(needs - cpu_features()):
        raise CompileError(
            f"the model was compiled on a processor with {', '.join(missing)}; this one has not",
            where=str(compiled),
            fix="compile it again here",
            missing=missing,
        )


def _refused(error: Exception) -> CompileError:
    """Return what inductor said, without its advice for developers of torch."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return CompileError(
        f"inductor refuses the program: {lines[0] if lines else type(error).__name__}",
        where=next(
            (line for line in lines if line.startswith(("target:", "While executing"))), "the program"
        ),
        fix="use the backend onnxruntime, openvino or eager",
    )


BACKEND = Inductor()
