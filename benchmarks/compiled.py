"""The C programs of the benchmarks, compiled when they are needed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SOURCES = Path(__file__).with_name("native")


def build(name: str, folder: Path) -> Path:
    """Compile ``native/NAME.c`` into a folder and return the program.

    Raises
    ------
    RuntimeError
        If there is no C compiler, or it refuses.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("this benchmark needs a C compiler: apt-get install gcc")
    out = folder / name
    command = [compiler, "-O2", "-Wall", "-o", str(out), str(_SOURCES / f"{name}.c")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}.c does not compile: {done.stderr[-800:]}")
    return out
