"""Compile a program or variant for a backend, checked against eager; load what came out.

::

    program folder ── backend.compile ──▶ model files ── checked on captured and other sizes ──▶ compiled folder

A backend is one file in ``backends/``; :func:`load` needs only that backend's runtime, never torch for
onnxruntime.
"""

from .base import Backend, backend_names
from .config import CompileConfig
from .entry import CompileReport, check_config, compile_program, load, reference
from .options import parse_pairs

__all__ = [
    "Backend",
    "CompileConfig",
    "CompileReport",
    "backend_names",
    "check_config",
    "compile_program",
    "load",
    "parse_pairs",
    "reference",
]
