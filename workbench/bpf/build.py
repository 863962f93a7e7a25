"""Compile the BPF objects: ``python -m workbench.bpf.build``.

Each ``workbench/<part>/bpf/<name>.bpf.c`` becomes ``bpf/build/<name>.bpf.o`` of that part. The objects are
CO-RE: built once, on any machine with clang and the libbpf headers, they load on every kernel with BTF, so
the wheel ships them and users need no compiler. A digest of sources and compiler makes a second call free.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ..atomic import write_bytes
from ..errors import MissingDependency, TraceError

PACKAGE = Path(__file__).parents[1]
_STAMP = "digest"
_FIX = "apt-get install clang libbpf-dev"
_ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}


def folders() -> list[Path]:
    """Return the folders that hold BPF sources, one a part."""
    return sorted({path.parent for path in PACKAGE.glob("*/bpf/*.bpf.c")})


def build(folder: Path, out: Path | None = None) -> list[Path]:
    """Compile what changed in one folder and return the objects, sorted.

    Parameters
    ----------
    folder
        Holds ``*.bpf.c`` and their headers.
    out
        Where the objects go; by default ``build/`` in that folder.

    Raises
    ------
    MissingDependency
        If clang is not installed.
    TraceError
        If a source does not compile; carries the compiler's text.
    """
    clang = shutil.which("clang")
    if clang is None:
        raise MissingDependency(
            "clang is not installed; the BPF programs cannot be built", where="clang", fix=_FIX
        )
    out = out or folder / "build"
    sources = sorted(folder.glob("*.bpf.c"))
    command = [clang, *_flags()]
    digest = _digest(command, [*sources, *sorted(folder.glob("*.h"))])
    objects = [out / source.name.replace(".bpf.c", ".bpf.o") for source in sources]
    stamp = out / _STAMP
    if stamp.is_file() and stamp.read_text() == digest and all(path.is_file() for path in objects):
        return objects
    out.mkdir(parents=True, exist_ok=True)
    for source, path in zip(sources, objects, strict=True):
        _compile(command, source, path)
    write_bytes(stamp, digest.encode())
    return objects


def load_object(name: str, folder: Path) -> bytes:
    """Return a compiled object.

    Parameters
    ----------
    name
        Of its source, without ``.bpf.c``.
    folder
        Where it was built.

    Raises
    ------
    TraceError
        If it was not built.
    """
    path = folder / f"{name}.bpf.o"
    try:
        return path.read_bytes()
    except OSError as error:
        raise TraceError(
            f"the BPF object {name!r} is not built",
            where=str(path),
            fix=f"{_FIX}; python -m workbench.bpf.build",
        ) from error


def _flags() -> list[str]:
    machine = platform.machine()
    # Debian keeps asm/ under the multiarch folder, which clang does not search for the bpf target.
    multiarch = f"/usr/include/{machine}-linux-gnu"
    target = _ARCHITECTURES.get(machine, machine)
    # -g: BTF, which CO-RE lives on.
    return [
        "-O2",
        "-g",
        "-target",
        "bpf",
        "-mcpu=v3",
        f"-D__TARGET_ARCH_{target}",
        "-Wall",
        "-Werror",
        f"-I{multiarch}",
    ]


def _digest(command: list[str], files: list[Path]) -> str:
    version = subprocess.run([command[0], "--version"], check=True, capture_output=True).stdout
    digest = hashlib.sha256(version + "\0".join(command).encode())
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _compile(command: list[str], source: Path, out: Path) -> None:
    handle, temporary = tempfile.mkstemp(dir=out.parent, suffix=".o")
    os.close(handle)
    try:
        done = subprocess.run(
            [*command, "-c", source.name, "-o", temporary], cwd=source.parent, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise TraceError(f"clang failed: {done.stderr.strip()[-2000:]}", where=source.name, fix=_FIX)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(out)
    finally:
        Path(temporary).unlink(missing_ok=True)


def main() -> int:
    """Build and print what was built."""
    try:
        objects = [path for folder in folders() for path in build(folder)]
    except (MissingDependency, TraceError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(str(path.relative_to(PACKAGE)) for path in objects))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
