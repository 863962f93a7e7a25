"""A fused Relax module as one shared object that needs no runtime: TVM's code, our kernels, calls in C.

It has the entry points of the backend ternary (``mlops_model.h``), so the same loader, driver and emulator run it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ...kernels import compile_command, target_named
from ...kernels.build import run_compiler
from ...types import Signature
from ..emit.build import RUNTIME, build_entry
from ..emit.record import HEADER_FILE, LIBRARY_FILE
from ..emit.text import SOURCE_FILE, header_of
from .calls import Buffer, Call, Program, program_of
from .external import objects
from .lowering import IR_FILE, failed, readable
from .package import compiler, include_folders
from .targets import llvm_target

_SUPPORT = Path(__file__).parent / "c" / "standalone.h"
_CODES = {"int": 0, "uint": 1, "float": 2, "bool": 6}


def build_standalone(module: Any, signature: Signature, out: Path, target_name: str) -> None:
    """Compile a fused module into a shared object with C entry points and nothing to link against but libc.

    Raises
    ------
    CompileError
        If a size is dynamic, or TVM or the C compiler fails.
    MissingDependency
        If no compiler for the target is installed.
    """
    program = program_of(module)
    target = target_named(target_name)
    with tempfile.TemporaryDirectory(dir=out, prefix=".build-") as name:
        folder = Path(name)
        _machine_code(module, program, target_name, folder / "operators.o")
        (folder / HEADER_FILE).write_text(header_of(signature, (), target_name))
        (folder / SOURCE_FILE).write_text(_source(program, target_name))
        weights = b"".join(each.constant.tobytes().ljust(each.nbytes, b"\0") for each in program.constants)
        (folder / "weights.bin").write_bytes(weights or bytes(64))
        for part in ("run.c", "weights.S"):
            shutil.copyfile(RUNTIME / part, folder / part)
        shutil.copyfile(_SUPPORT, folder / _SUPPORT.name)
        build_entry(folder, target)
        linked = [str(objects(target_name))] if any(call.external for call in program.calls) else []
        includes = [f"-I{each}" for each in include_folders()]
        command = [*compile_command(target), *includes, "-shared", "-fPIC", "-Wl,--build-id=none"]
        command += ["-Wl,-z,noexecstack", "-Wl,--hash-style=gnu", "run.o", "weights.o", "operators.o"]
        run_compiler([*command, SOURCE_FILE, *linked, "-o", LIBRARY_FILE, "-lm"], folder)
        for part in (LIBRARY_FILE, HEADER_FILE, SOURCE_FILE):
            shutil.move(folder / part, out / part)
    (out / IR_FILE).write_text(readable(module))


def _machine_code(module: Any, program: Program, target_name: str, out: Path) -> None:
    tvm = compiler()
    names = sorted({call.function for call in program.calls if not call.external})
    functions = {name: module[name].with_attr("global_symbol", name) for name in names}
    try:
        built = tvm.compile(tvm.IRModule(functions), target=llvm_target(target_name))
        inner = getattr(built, "mod", built)
        code = next(each for each in (inner, *inner.imports) if each.kind == "llvm")
        code.write_to_file(str(out), "obj")
    except Exception as error:
        raise failed(error) from error


def _source(program: Program, target_name: str) -> str:
    """Return the C file: the calls in their order, on places in the arena and among the constants."""
    names = dict.fromkeys(call.function for call in program.calls)
    externs = [
        f"extern int __tvm_ffi_{name}(void *, const TVMFFIAny *, int32_t, TVMFFIAny *);" for name in names
    ]
    tensors = [*program.inputs, *program.outputs]
    shapes = [f"    *shapes++ = {size};" for each in tensors for size in each.shape]
    copies_in = [
        f"    memcpy(base + {each.offset}, inputs[{i}], {_bytes(each)});"
        for i, each in enumerate(program.inputs)
    ]
    copies_out = [
        f"    memcpy(outputs[{i}], {_place(each)}, {_bytes(each)});" for i, each in enumerate(program.outputs)
    ]
    calls = [line for call in program.calls for line in _call(call)]
    threads = (
        "    { TVMFFIAny n = {0}, r; n.v_int64 = mlops_threads; __tvm_ffi_mlops_threads(NULL, &n, 1, &r); }"
    )
    linked = any(call.external for call in program.calls)
    if linked:
        externs.append("extern int __tvm_ffi_mlops_threads(void *, const TVMFFIAny *, int32_t, TVMFFIAny *);")
    return f"""\
/* The model as calls of what TVM compiled for {target_name}; equal models give equal files. */
#include "{HEADER_FILE}"
#include "{_SUPPORT.name}"

extern const uint8_t mlops_weights[];
extern int mlops_threads;
{chr(10).join(externs)}

size_t mlops_model_arena_bytes(const int64_t *sizes) {{
    (void)sizes;
    return {program.arena_bytes};
}}

void mlops_model_shapes(const int64_t *sizes, int64_t *shapes) {{
    (void)sizes, (void)shapes;
{chr(10).join(shapes)}
}}

int mlops_forward(const void *const *inputs, void *const *outputs, const int64_t *sizes, void *arena) {{
    (void)sizes, (void)mlops_threads;
    uint8_t *const base = arena;
{chr(10).join([*([threads] if linked else []), *copies_in, *calls, *copies_out])}
    return MLOPS_OK;
}}
"""


def _call(call: Call) -> list[str]:
    buffers = [*call.arguments, *call.written]
    words = ", ".join(_argument(each) for each in buffers)
    return [
        f"    {{ const argument given[] = {{{words}}};",
        f"      if (call(__tvm_ffi_{call.function}, {len(buffers)}, given)) return MLOPS_NO_MEMORY; }}",
    ]


def _argument(buffer: Buffer) -> str:
    kind = re.match(r"[a-z]+", buffer.dtype)
    assert kind is not None
    bits = 8 if kind[0] == "bool" else int(buffer.dtype.removeprefix(kind[0]))
    sizes = ", ".join(map(str, buffer.shape)) or "1"
    rank = len(buffer.shape)
    return f"{{{_CODES[kind[0]]}, {bits}, {rank}, (const int64_t[]){{{sizes}}}, {_place(buffer)}}}"


def _place(buffer: Buffer) -> str:
    return f"{'base' if buffer.constant is None else 'mlops_weights'} + {buffer.offset}"


def _bytes(buffer: Buffer) -> str:
    from numpy import dtype, int64, prod

    return str(int(prod(buffer.shape, dtype=int64)) * dtype(buffer.dtype).itemsize)
