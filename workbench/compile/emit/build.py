"""From C to one shared object for a target, by the target's own compiler; and to a driver that runs it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ...kernels import Target, compile_command
from ...kernels.build import build_object, run_compiler
from .emitter import Emitter
from .plan import Plan
from .record import HEADER_FILE, LIBRARY_FILE
from .text import SOURCE_FILE, header, source

RUNTIME = Path(__file__).parent / "runtime"


def write_sources(emitter: Emitter, plan: Plan, folder: Path) -> None:
    """Write the C of a model, its header and its constants."""
    text = source(emitter, plan)
    (folder / SOURCE_FILE).write_text(text)
    (folder / HEADER_FILE).write_text(header(emitter))
    (folder / "weights.bin").write_bytes(bytes(emitter.weights.blob) or bytes(64))
    for name in ("run.c", "weights.S"):
        shutil.copyfile(RUNTIME / name, folder / name)


def build_library(folder: Path, target: Target) -> None:
    """Compile the sources of a folder into ``model.so``.

    Raises
    ------
    MissingDependency
        If no compiler for the target is installed.
    CompileError
        If the compiler fails.
    """
    command = compile_command(target)
    build_entry(folder, target)
    objects = ["run.o", "weights.o", SOURCE_FILE]
    calls = set(re.findall(r"\btern_\w+(?=\()", (folder / SOURCE_FILE).read_text()))
    if calls:
        objects.append(str(build_object(target, "pool.c" if calls == {"tern_run"} else "ternary.c")))
    link = ["-shared", "-fPIC", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,--hash-style=gnu"]
    run_compiler([*command, *_QUIET, *link, *objects, "-o", LIBRARY_FILE, "-lm"], folder)


def build_entry(folder: Path, target: Target) -> None:
    """Compile the public entry points and the constants of a folder, for any processor of the target's machine."""
    command = compile_command(target)
    for name in ("run.c", "weights.S"):
        flags = [_needed(target)] if name == "run.c" else []
        run_compiler([*_for_any_cpu(command, target), *flags, "-fPIC", "-c", name], folder)


_QUIET = ("-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-unused-parameter")


def _for_any_cpu(command: Sequence[str], target: Target) -> list[str]:
    """Return the command without the flags that name an instruction set."""
    keep = [word for word in command if word not in target.flags]
    return [*keep, "-march=rv64gc", "-mabi=lp64d"] if target.machine == "riscv64" else keep


def _needed(target: Target) -> str:
    """Return the definition of what a processor must have."""
    names = sorted(feature.replace("_", "") for feature in target.features)
    return "-DNEEDED=" + (" && ".join(f"HAS({name})" for name in names) or "1")


def build_driver(compiled: Path, folder: Path, target: Target) -> Path:
    """Compile the program that runs ``model.so`` once, into `folder`; return its path."""
    for name in (HEADER_FILE, LIBRARY_FILE):
        shutil.copyfile(compiled / name, folder / name)
    shutil.copyfile(RUNTIME / "driver.c", folder / "driver.c")
    command = _for_any_cpu(compile_command(target), target)
    run_compiler([*command, "driver.c", LIBRARY_FILE, "-Wl,-rpath,$ORIGIN", "-o", "driver"], folder)
    return folder / "driver"
