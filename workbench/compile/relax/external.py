"""Our kernels as an object file that TVM links into a module: compiled once a target, kept in the cache."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from ...atomic import write_bytes
from ...config import cache
from ...kernels import SOURCES, compile_command, target_named
from ...kernels.build import run_compiler, sources_digest
from ..emit.build import RUNTIME
from .package import include_folders

SOURCE = Path(__file__).parent / "c" / "external.c"
FUNCTIONS = (
    "mlops_linear_f32",
    "mlops_matmul_f32",
    "mlops_convolution_f32",
    "mlops_attention_f32",
    "mlops_layer_norm_f32",
    "mlops_softmax_f32",
    "mlops_gelu_f32",
    "mlops_linear_ternary",
    "mlops_conv_ternary",
    "mlops_linear_dynamic",
    "mlops_linear_static",
    "mlops_threads",
)
"""What the object file defines, by the names Relax calls."""
_QUIET = ("-Wno-unused-function", "-Wno-unused-parameter", "-Wno-unknown-pragmas")


def objects(target: str) -> Path:
    """Return the kernels of a target as one relocatable object, compiling them when the cache has none.

    Parameters
    ----------
    target
        A name of :data:`workbench.kernels.targets.TARGETS`.

    Raises
    ------
    CompileError
        If the sources do not compile.
    MissingDependency
        If no compiler for the target is installed.
    """
    command = [*compile_command(target_named(target)), *_QUIET, "-fPIC", "-iquote", str(RUNTIME)]
    command += [f"-I{folder}" for folder in include_folders()]
    digest = hashlib.sha256("\0".join([sources_digest(), *command]).encode())
    for path in (SOURCE, *sorted(RUNTIME.glob("*.h"))):
        digest.update(path.read_bytes())
    out = cache("kernels") / f"tvm-{digest.hexdigest()[:32]}.o"
    if out.is_file():
        return out
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        parts = [str(Path(folder) / f"{source.stem}.o") for source in (SOURCE, SOURCES / "ternary.c")]
        for source, part in zip((SOURCE, SOURCES / "ternary.c"), parts, strict=True):
            run_compiler([*command, "-c", str(source), "-o", part])
        both = Path(folder) / "both.o"
        run_compiler([*command, "-r", "-nostdlib", *parts, "-o", str(both)])
        write_bytes(out, both.read_bytes())
    return out
