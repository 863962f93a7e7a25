"""Our target names as TVM's targets."""

from __future__ import annotations

from typing import Any

from ...kernels import target_named
from .package import compiler

_X86, _ARM, _RISCV = "x86_64-linux-gnu", "aarch64-linux-gnu", "riscv64-linux-gnu"
_LLVM: dict[str, dict[str, Any]] = {
    "x86-64-avx512-vnni": {"mtriple": _X86, "mcpu": "cascadelake", "mattr": ["+avx512vbmi"]},
    "x86-64-avx2": {"mtriple": _X86, "mcpu": "x86-64-v3"},
    "aarch64-i8mm": {"mtriple": _ARM, "mattr": ["+v8.2a", "+neon", "+dotprod", "+i8mm"]},
    "aarch64-sve": {"mtriple": _ARM, "mattr": ["+v8.2a", "+neon", "+dotprod", "+sve"]},
    "aarch64-neon": {"mtriple": _ARM, "mattr": ["+v8.2a", "+neon", "+dotprod"]},
    "riscv64-rvv": {
        "mtriple": _RISCV,
        "mcpu": "generic-rv64",
        "mattr": ["+m", "+a", "+f", "+d", "+c", "+v"],
        "mabi": "lp64d",
    },
}
TARGETS = ("host", *_LLVM)
"""What the backend compiles for; ``generic`` has no triple of its own."""


def resolve(name: str) -> str:
    """Return the target behind a name: the processor's own for ``host`` and none.

    Examples
    --------
    >>> resolve("aarch64-neon")
    'aarch64-neon'
    """
    return target_named(name or "host").name


def llvm_target(name: str, threads: int = 1) -> Any:
    """Return TVM's target. `threads` is what schedules are found for."""
    tvm = compiler()
    return tvm.target.Target({"kind": "llvm", **_LLVM.get(resolve(name), {}), "num-cores": threads})
