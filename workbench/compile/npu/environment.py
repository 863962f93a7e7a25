"""The tool environment: made on first use from pinned requirements, below the user's cache, never in ours."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ...config import cache
from ...errors import CompileError, MissingDependency

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
WORKER = Path(__file__).parent / "worker.py"
_INSTALL_S, _RUN_S = 1800, 900


def folder() -> Path:
    """Return where the environment of these requirements lies, or will lie."""
    return cache("tools") / f"ethos-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]}"


def is_made() -> bool:
    """Tell whether it is there and complete."""
    return (folder() / "complete").is_file()


def python() -> Path:
    """Return its interpreter, after making it if it is not there: some 2 GB, minutes.

    Raises
    ------
    MissingDependency
        If a package cannot be installed; carries the command that shows why.
    """
    place = folder()
    if not is_made():
        shutil.rmtree(place, ignore_errors=True)
        install = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)]
        try:
            for command in ([sys.executable, "-m", "venv", str(place)], install):
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
        except (subprocess.SubprocessError, OSError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()
            raise MissingDependency(
                f"the tool environment of the Ethos-U targets cannot be made: {said[-1] if said else error}",
                where=str(place),
                fix=" ".join(install),
            ) from error
        (place / "complete").touch()
    return place / "bin" / "python"


def work(arguments: Sequence[str]) -> None:
    """Run the worker in the environment.

    Raises
    ------
    MissingDependency
        If the environment cannot be made.
    CompileError
        If it fails; carries the end of what it said.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(python()), "-I", str(WORKER), *arguments]
        try:
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=_RUN_S)
        except subprocess.TimeoutExpired as error:
            raise CompileError(f"the NPU's compiler did not end within {_RUN_S} s", where="ethos") from error
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise CompileError(
            f"the NPU's compiler failed: {lines[-1][:500] if lines else done.returncode}",
            where="ethos",
            fix="check that the program is a float network of convolutions, linear layers and activations",
        )
