"""Where the probes' sources and objects lie; ``python -m workbench.bpf.build`` compiles them."""

from __future__ import annotations

from pathlib import Path

from ..bpf import build as builder

SOURCES = Path(__file__).parent / "bpf"
OBJECTS = SOURCES / "build"


def load_object(name: str, folder: Path = OBJECTS) -> bytes:
    """Return the compiled object of a probe.

    Raises
    ------
    TraceError
        If it was not built.
    """
    return builder.load_object(name, folder)


if __name__ == "__main__":
    raise SystemExit(builder.main())
