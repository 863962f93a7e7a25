"""The instruction sets there are kernels for: compiler, flags, what a processor must have, how to emulate it."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from ..errors import CompileError
from .features import cpu_features


@dataclass(frozen=True)
class Target:
    """One instruction set.

    Attributes
    ----------
    name : str
        What users type, such as ``"x86-64-avx512-vnni"``.
    machine : str
        As ``platform.machine()`` says it; empty for any.
    flags : tuple of str
        What the compiler is told beyond the common flags.
    features : frozenset of str
        What ``/proc/cpuinfo`` must list, else the code would end with SIGILL.
    compilers : tuple of str
        Candidates on a machine of this kind, best first.
    cross : tuple of tuple of str
        The same on another machine, as arguments.
    emulator : tuple of str
        Runs a static program on another machine: exact, never fast.
    """

    name: str
    machine: str
    flags: tuple[str, ...]
    features: frozenset[str] = frozenset()
    compilers: tuple[str, ...] = ("gcc", "cc", "clang")
    cross: tuple[tuple[str, ...], ...] = ()
    emulator: tuple[str, ...] = ()


_V3 = frozenset({"avx2", "bmi2", "fma"})
_VNNI = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "avx512vbmi", "gfni"})
_ARM = (("aarch64-linux-gnu-gcc",),)
# gcc 12, Debian's, knows no vector intrinsics for RISC-V.
_RISCV = (("clang", "--target=riscv64-linux-gnu"),)
_NO_CET = "-fcf-protection=none"  # else an endbr64 comes before the five-byte nop

_TABLE = (
    Target(
        "x86-64-avx512-vnni",
        "x86_64",
        (
            "-march=x86-64-v4",
            "-mavx512vnni",
            "-mprfchw",
            "-mavx512vbmi",
            "-mgfni",
            "-mprefer-vector-width=512",
            _NO_CET,
        ),
        _V3 | _VNNI,
        cross=(("x86_64-linux-gnu-gcc",),),
        emulator=("qemu-x86_64", "-cpu", "max"),
    ),
    Target(
        "x86-64-avx2",
        "x86_64",
        ("-march=x86-64-v3", _NO_CET),
        _V3,
        cross=(("x86_64-linux-gnu-gcc",),),
        emulator=("qemu-x86_64", "-cpu", "max"),
    ),
    Target(
        "aarch64-i8mm",
        "aarch64",
        ("-march=armv8.2-a+dotprod+i8mm",),
        frozenset({"asimddp", "i8mm"}),
        cross=_ARM,
        emulator=("qemu-aarch64", "-cpu", "max"),
    ),
    Target(
        "aarch64-sve",
        "aarch64",
        ("-march=armv8.2-a+sve+dotprod", "-DTERN_SVE"),
        frozenset({"sve", "asimddp"}),
        cross=_ARM,
        emulator=("qemu-aarch64", "-cpu", "max"),
    ),
    Target(
        "aarch64-neon",
        "aarch64",
        ("-march=armv8.2-a+dotprod",),
        frozenset({"asimddp"}),
        cross=_ARM,
        emulator=("qemu-aarch64", "-cpu", "max"),
    ),
    Target(
        "riscv64-rvv",
        "riscv64",
        ("-march=rv64gcv", "-mabi=lp64d"),
        frozenset({"v"}),
        compilers=("clang",),
        cross=_RISCV,
        emulator=("qemu-riscv64", "-cpu", "rv64,v=true,vext_spec=v1.0,vlen=256"),
    ),
    Target("generic", "", ("-DTERN_GENERIC",)),
)
TARGETS: dict[str, Target] = {target.name: target for target in _TABLE}
"""By name; of one machine the faster come first. Also the order in which ``"host"`` is chosen."""


def target_named(name: str) -> Target:
    """Return the target; ``"host"`` is the first that this processor can run.

    Raises
    ------
    CompileError
        If there is no such target.

    Examples
    --------
    >>> target_named("generic").flags
    ('-DTERN_GENERIC',)
    """
    if name == "host":
        return next(target for target in _TABLE if runs_here(target))
    try:
        return TARGETS[name]
    except KeyError:
        known = ", ".join(["host", *TARGETS])
        raise CompileError(f"no target is called {name!r}", where=name, fix=f"one of: {known}") from None


def missing_features(target: Target) -> list[str]:
    """Return what this processor lacks for the target, sorted; its kind of machine counts as one.

    Examples
    --------
    >>> missing_features(target_named("generic"))
    []
    """
    if target.machine and target.machine != platform.machine():
        return [target.machine]
    return sorted(target.features - cpu_features())


def runs_here(target: Target) -> bool:
    """Return whether this processor runs the target's code."""
    return not missing_features(target)
