"""From a Relax module to ``model.so`` for a target, and to the generated code as text."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from ...errors import CompileError
from ...kernels import compile_command, target_named
from ...kernels.build import run_compiler
from ..emit.record import LIBRARY_FILE
from .external import FUNCTIONS, objects
from .package import compiler
from .targets import llvm_target

IR_FILE = "model.tir.txt"
"""What TVM made of the program, one function an operator, in its own notation; constants left out."""


def fused(module: Any, target: Any) -> Any:
    """Return the module in tensor programs, one function a fused operator: what schedules are found for.

    Raises
    ------
    CompileError
        If TVM has no tensor program for an operator of this dtype.
    """
    tvm = compiler()
    transform = tvm.relax.transform
    passes = [
        transform.DecomposeOpsForInference(),
        transform.CanonicalizeBindings(),
        tvm.relax.get_pipeline("zero"),
        transform.DeadCodeElimination(),
    ]
    try:
        with target, quiet():
            return tvm.transform.Sequential(passes)(module)
    except Exception as error:
        raise failed(error) from error


def build(module: Any, out: Path, target_name: str, threads: int) -> None:
    """Compile a fused module into ``model.so``, and write the generated code.

    Raises
    ------
    CompileError
        If TVM cannot compile it, or the linker fails.
    MissingDependency
        If no compiler for the target is installed.
    """
    tvm = compiler()
    with tempfile.TemporaryDirectory(dir=out, prefix=".build-") as folder:
        if "mlops_" in (text := readable(module)):
            static = tvm.runtime.load_static_library(str(objects(target_name)), list(FUNCTIONS))
            module = module.with_attr("external_mods", [static])
        target = llvm_target(target_name, threads)
        try:
            with quiet():
                built = tvm.compile(module, target=target)
            linker = _linker(target_name, str(target.attrs["mtriple"]))
            built.export_library(str(out / LIBRARY_FILE), fcompile=linker, workspace_dir=folder)
        except CompileError:
            raise
        except Exception as error:
            raise failed(error) from error
        (out / IR_FILE).write_text(text)


def failed(error: Exception) -> CompileError:
    """Return what TVM said when it compiled, without its stack."""
    text = str(error)
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if "CodeGenVM cannot emit" in text:
        return CompileError(
            f"TVM could not work out the sizes of {lines[-1]}",
            where="tvm",
            fix='capture it with dynamic="none", or use the backend onnxruntime or ternary',
        )
    return CompileError(
        f"TVM could not compile the program: {lines[-1][:500] if lines else type(error).__name__}",
        where="tvm",
        fix="use the backend onnxruntime or ternary",
    )


def _linker(target_name: str, triple: str) -> Any:
    command = compile_command(target_named(target_name))

    def link(out: str, files: list[str], **_: Any) -> None:
        run_compiler(
            [
                *command,
                "-shared",
                "-fPIC",
                "-Wl,--build-id=none",
                "-Wl,-z,noexecstack",
                *files,
                "-o",
                out,
                "-lm",
            ]
        )

    # Without it, a program of linked kernels alone is packed as C, whose symbols our compilers hide from the loader.
    link.get_target_triple = lambda: triple  # type: ignore[attr-defined]
    return link


def readable(module: Any) -> str:
    """Return a module in TVM's notation, the constants left out; equal modules give equal texts."""
    return str(re.sub(r"[ \t]+\n", "\n", module.script(show_meta=False)))


class quiet:  # noqa: N801 - reads as the statement it is
    """Keep TVM's warnings out of the notebook: what matters is raised."""

    def __enter__(self) -> None:
        import logging
        import warnings

        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        self._level = logging.getLogger("tvm").level
        logging.getLogger("tvm").setLevel(logging.ERROR)

    def __exit__(self, *error: Any) -> None:
        import logging

        logging.getLogger("tvm").setLevel(self._level)
        self._warnings.__exit__(*error)
