"""Compile the kernels on first use: a shared library per target, kept by the digest of all that decides its bytes."""

from __future__ import annotations

import functools
import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..atomic import write_bytes
from ..config import cache
from ..errors import CompileError, MissingDependency
from .targets import Target, target_named

SOURCES = Path(__file__).parent / "c"
"""Folder of ``ternary.h`` and everything it needs; goes behind ``-I``."""

COMMON_FLAGS = (
    "-std=gnu11",
    "-O3",
    "-Wall",
    "-Wextra",
    "-pthread",
    "-fvisibility=hidden",
    "-fpatchable-function-entry=1",  # see entry.h
    "-ffp-contract=off",  # the same floats on machines with and without fused multiply-add
    "-fno-math-errno",
    "-fno-trapping-math",
)
_TIMEOUT_S = 300


def compile_command(target: str | Target = "host") -> list[str]:
    """Return the compiler and its flags for a target; add sources, ``-shared`` or ``-static``, ``-o`` and ``-lm``.

    Parameters
    ----------
    target
        A name of :data:`workbench.kernels.targets.TARGETS`, ``"host"``, or the target itself.

    Raises
    ------
    CompileError
        If there is no such target.
    MissingDependency
        If no compiler for it is installed.

    Examples
    --------
    >>> command = compile_command("generic")
    >>> "-O3" in command and "-DTERN_GENERIC" in command
    True
    """
    target = target_named(target) if isinstance(target, str) else target
    compiler = _compiler(target)
    # entry.h makes five bytes of that one `nop`, by a macro that clang's own assembler does not apply.
    gnu_assembler = ["-fno-integrated-as"] if "clang" in _version(compiler[0]) and _x86(target) else []
    return [*compiler, *gnu_assembler, *COMMON_FLAGS, *target.flags, f"-I{SOURCES}"]


def _x86(target: Target) -> bool:
    return (target.machine or platform.machine()) == "x86_64"


def _compiler(target: Target) -> list[str]:
    native = target.machine in ("", platform.machine())
    candidates: Sequence[Sequence[str]] = [(name,) for name in target.compilers] if native else target.cross
    for candidate in candidates:
        if shutil.which(candidate[0]):
            return list(candidate)
    package = {"aarch64": "gcc-aarch64-linux-gnu", "riscv64": "clang gcc-riscv64-linux-gnu"}
    raise MissingDependency(
        f"no C compiler for {target.name} is installed (tried {', '.join(c[0] for c in candidates)})",
        where=target.name,
        fix=f"apt-get install {'gcc' if native else package.get(target.machine, 'gcc')}",
    )


@functools.cache
def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.partition("\n")[0]


def sources_digest() -> str:
    """Return a digest of every kernel source."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(target: str | Target = "host") -> Path:
    """Return the shared library of a target, compiling it when the cache has none of these sources and flags.

    Raises
    ------
    CompileError
        If there is no such target, or the sources do not compile.
    MissingDependency
        If no compiler for it is installed.
    StorageFull
        If the cache has no space left.
    """
    return _cached(target, ("-shared", "-fPIC"), ".so", ("-lm",))


def build_object(target: str | Target = "host", source: str = "ternary.c") -> Path:
    """Return the kernels as an object file, to be linked into a compiled model; cached and raising as :func:`build`.

    `source` may be ``pool.c``: only the threads (``tern_run``).
    """
    return _cached(target, ("-c", "-fPIC"), ".o", source=source)


def _cached(
    target: str | Target,
    form: Sequence[str],
    suffix: str,
    libraries: Sequence[str] = (),
    source: str = "ternary.c",
) -> Path:
    command = [*compile_command(target), *form]
    text = "\0".join([sources_digest(), _version(command[0]), *command])
    path = cache("kernels") / f"{Path(source).stem}-{hashlib.sha256(text.encode()).hexdigest()[:32]}{suffix}"
    if path.is_file():
        return path
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        out = Path(folder) / path.name
        run_compiler([*command, str(SOURCES / source), "-o", str(out), *libraries])
        write_bytes(path, out.read_bytes(), 0o755)
    return path


def run_compiler(command: Sequence[str], folder: Path | None = None) -> None:
    """Run a compiler, in a folder if one is given.

    Raises
    ------
    CompileError
        If it fails or does not end; carries the end of what it said.
    """
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise CompileError(
            f"the compiler did not end within {_TIMEOUT_S} s", where=" ".join(command)
        ) from error
    if done.returncode != 0:
        raise CompileError(
            f"the compiler failed: {done.stderr.strip()[-2000:]}",
            where=" ".join(command),
            fix="check that the compiler works: " + command[0] + " --version",
        )
