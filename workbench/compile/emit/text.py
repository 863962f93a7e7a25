"""The C file of a model and its header: what a program that embeds the model includes and links."""

from __future__ import annotations

import re
from importlib.resources import files

import sympy

from ...kernels.build import SOURCES
from ...types import Signature, TensorSpec
from .emitter import Emitter
from .function import Function
from .plan import Plan, Slot
from .record import HEADER_FILE
from .sizes import c
from .tensors import BYTES, C_TYPES, Buffer

SOURCE_FILE = "mlops_model.c"
_PARTS = (
    "half",
    "threads",
    "math",
    "gemm",
    "rows",
    "convolution",
    "pool",
    "attention",
    "recurrent",
    "integer",
    "int4",
)
_NEEDS = {
    "convolution": ("gemm",), "attention": ("math", "rows", "gemm"), "rows": ("math",), "recurrent": ("math", "gemm"),
    "pool": ("math",), "gemm": ("threads",), "integer": ("threads",), "int4": ("threads",),
}  # fmt: skip


def source(emitter: Emitter, plan: Plan) -> str:
    """Return the model as one C file."""
    functions = "\n".join(function.definition() for function in emitter.functions)
    runtime = _runtime(functions)
    # How functions begin is a header of the kernels; a file without them needs no other than its own.
    ternary = '#include "ternary.h"\nextern int mlops_threads;\n'
    begins = ternary if "tern_" in functions + runtime else (SOURCES / "entry.h").read_text()
    return f"""\
/* The model as C: one function an operator, in the order of their calls in mlops_forward() below.
 * Generated for the target {emitter.target}; equal models give equal files. */
#include "{HEADER_FILE}"
{begins}
{runtime}
extern const uint8_t mlops_weights[];
static _Thread_local int failure;

{functions}
{_arena(emitter, plan)}
{_shapes(emitter)}
{_forward(emitter, plan)}"""


def _runtime(functions: str) -> str:
    """Return the kernels that the functions call, and what these call."""
    texts = {part: (files(__package__) / "runtime" / f"{part}.h").read_text() for part in ("base", *_PARTS)}
    used = {part for part in _PARTS if _calls(functions, texts[part])}
    for part in reversed(_PARTS):
        used |= set(_NEEDS.get(part, ())) if part in used else set()
    return "\n".join(texts[part] for part in ("base", *(p for p in _PARTS if p in used)))


def _calls(functions: str, text: str) -> bool:
    defined = set(re.findall(r"\b(\w+?)(?:_##S|_f32|_f64)?\(", text)) - {"for", "if", "while", "defined"}
    called = set(re.findall(r"\b(\w+?)(?:_f32|_f64)?\(", functions))
    return bool(defined & called - {"fabsf", "sqrt", "log", "exp", "FMA", "memcpy"})


def _arena(emitter: Emitter, plan: Plan) -> str:
    """Return the function that says how much memory one run needs."""
    lines = [f"    bytes += aligned({_slot(slot)});" for slot in plan.slots]
    return f"""\
static size_t aligned(int64_t bytes) {{ return ((size_t)bytes + 63) & ~(size_t)63; }}

size_t mlops_model_arena_bytes(const int64_t *sizes) {{
    {_unpack(emitter.sizes.names)}
    size_t bytes = 0;
{chr(10).join(lines)}
    return bytes;
}}
"""


def _slot(slot: Slot) -> str:
    return c(sympy.Max(*slot.sizes, evaluate=False)) if len(slot.sizes) > 1 else c(slot.sizes[0])


def _unpack(names: tuple[str, ...]) -> str:
    lines = [f"const int64_t {name} = sizes[{i}]; (void){name};" for i, name in enumerate(names)]
    return "\n    ".join(lines) if lines else "(void)sizes;"


def _shapes(emitter: Emitter) -> str:
    """Return the function that says the shape of every input and output."""
    shapes = (*emitter.input_shapes, *emitter.output_shapes)
    lines = [f"    *shapes++ = {c(size)};" for shape in shapes for size in shape]
    return f"""\
void mlops_model_shapes(const int64_t *sizes, int64_t *shapes) {{
    {_unpack(emitter.sizes.names)}
    (void)shapes;
{chr(10).join(lines)}
}}
"""


def _forward(emitter: Emitter, plan: Plan) -> str:
    """Return the function that calls all others."""
    names = emitter.sizes.names
    checks = [f"    if ({name} < 0) return MLOPS_BAD_SIZE;" for name in names]
    checks += [
        f"    if ({name} > {limit}) return MLOPS_BAD_SIZE;" for name, limit in emitter.sizes.limits.items()
    ]
    slots = ["    uint8_t *const slot0 = arena; (void)slot0;"] if plan.slots else ["    (void)arena;"]
    slots += [
        f"    uint8_t *const slot{i + 1} = slot{i} + aligned({_slot(slot)});"
        for i, slot in enumerate(plan.slots[:-1])
    ]
    calls = ["    mark(0);"]
    for number, function in enumerate(emitter.functions, 1):
        calls += [*_call(function, emitter, plan), f"    mark({number});"]
    return f"""\
__attribute__((visibility("default"))) void mlops_model_watch(int64_t *times) {{ marks = times; }}

int mlops_forward(const void *const *inputs, void *const *outputs, const int64_t *sizes, void *arena) {{
    {_unpack(names)}
    (void)inputs;
{chr(10).join([*checks, *slots, "    failure = MLOPS_OK;", *calls])}
    return MLOPS_OK;
}}
"""


def _call(function: Function, emitter: Emitter, plan: Plan) -> list[str]:
    arguments = []
    for (_, tensor), parameter in zip(function.arguments, function.parameters, strict=True):
        constant = "const " if parameter.startswith("const") else ""
        start = f"({constant}{C_TYPES[tensor.dtype]} *){_place(tensor.buffer, emitter, plan)}"
        arguments.append(start if tensor.offset == 0 else f"{start} + {c(tensor.offset)}")
    words = ", ".join([*arguments, *sorted(function.symbols)])
    check = ["    if (failure) return failure;"] if "failure" in "".join(function.body) else []
    return [f"    {function.name}({words});", *check]


def _place(buffer: Buffer, emitter: Emitter, plan: Plan) -> str:
    if buffer.kind == "weight":
        return f"(mlops_weights + {emitter.weights.offsets[buffer]})"
    return f"slot{plan.place[buffer]}" if buffer.kind == "arena" else buffer.name


def header(emitter: Emitter) -> str:
    """Return the header of an emitted model."""
    return header_of(emitter.signature, emitter.sizes.names, emitter.target)


def header_of(signature: Signature, names: tuple[str, ...], target: str) -> str:
    """Return the header of a model with these inputs, outputs and dynamic sizes."""
    sizes = "".join(f"#define MLOPS_SIZE_{name.removeprefix('n_')} {i}\n" for i, name in enumerate(names))
    return f"""\
/* A compiled model. Link model.so, give every array and an arena, call mlops_model_run().
 *
 * Arrays are contiguous, rows first. `sizes` holds the dynamic sizes: {", ".join(_dims(signature)) or "none"}.
 * `inputs` and `outputs` are pointers to the first element of, in this order:
 *
{_describe("input", signature.inputs)}
{_describe("output", signature.outputs)}
 *
 * One arena serves one run at a time; with an arena each, threads may run the model at the same time. */
#ifndef MLOPS_MODEL_H
#define MLOPS_MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define MLOPS_TARGET "{target}"
#define MLOPS_INPUTS {len(signature.inputs)}
#define MLOPS_OUTPUTS {len(signature.outputs)}
#define MLOPS_SIZES {len(names)}
#define MLOPS_DIMENSIONS {sum(len(s.shape) for s in (*signature.inputs, *signature.outputs))}
{sizes}{_tables(signature)}
enum mlops_status {{
    MLOPS_OK,
    MLOPS_BAD_SIZE,  /* a dynamic size is negative or larger than the model takes */
    MLOPS_BAD_INDEX, /* an input names a row that a table does not have */
    MLOPS_BAD_CPU,   /* this CPU lacks what the model was compiled for */
    MLOPS_NO_MEMORY, /* a kernel could not get its workspace */
}};

/* 1 if this CPU has what the model was compiled for. */
__attribute__((visibility("default"))) int mlops_model_fits_cpu(void);

/* Bytes of working memory one run needs, to be aligned to 64. */
__attribute__((visibility("default"))) size_t mlops_model_arena_bytes(const int64_t *sizes);

/* The shapes of all inputs, then of all outputs, one dimension after the other. */
__attribute__((visibility("default"))) void mlops_model_shapes(const int64_t *sizes, int64_t *shapes);

/* Run the model. Returns MLOPS_OK, or what is wrong; then the outputs hold nothing of use. */
__attribute__((visibility("default"))) int mlops_model_run(const void *const *inputs, void *const *outputs,
                                                           const int64_t *sizes, void *arena);

/* Threads that kernels with a pool use; 1 until this is called. */
__attribute__((visibility("default"))) void mlops_model_set_threads(int threads);

#ifdef __cplusplus
}}
#endif
#endif
"""


def _dims(signature: Signature) -> list[str]:
    dims = [d for spec in signature.inputs for d in spec.shape if isinstance(d, str) and d.isidentifier()]
    return list(dict.fromkeys(dims))


def _describe(kind: str, specs: tuple[TensorSpec, ...]) -> str:
    return "\n".join(
        f" *   {kind}s[{i}] {spec.name}: {C_TYPES[spec.dtype]} [{', '.join(map(str, spec.shape))}]"
        for i, spec in enumerate(specs)
    )


def _tables(signature: Signature) -> str:
    """Return what a generic driver needs: bytes of an element and number of axes, by tensor."""
    specs = (*signature.inputs, *signature.outputs)
    widths = ", ".join(str(BYTES[spec.dtype]) for spec in specs)
    ranks = ", ".join(str(len(spec.shape)) for spec in specs)
    return f"#define MLOPS_ELEMENT_BYTES {{{widths}}}\n#define MLOPS_RANKS {{{ranks}}}\n"
