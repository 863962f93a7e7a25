"""The verb: a program or variant folder in, a compiled folder out; and back to a session."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import codec
from ..atomic import disk_guard, write_bytes
from ..codec import register
from ..errors import CorruptArtifact, InputError
from ..program import read_signature, write_examples, write_signature
from ..session import Session
from .base import Backend, Progress, backend
from .check import compare, make_cases
from .config import CompileConfig
from .limits import LIMITS_FILE, limits_of, read_limits, write_limits
from .options import read_options
from .source import Source
from .tolerance import Tolerance, tolerance_for

BACKEND_FILE = "backend.json"


@register("compile_report")
@dataclass(frozen=True)
class CompileReport:
    """Outcome of one compilation.

    Parameters
    ----------
    backend
        Its name.
    max_abs_error
        Largest difference from eager, over all float outputs and checked sizes.
    tolerance_abs, tolerance_rel
        What was allowed.
    checked
        The sizes it was checked at; one empty mapping where nothing is dynamic.
    bytes
        Size of the compiled folder's files.
    seconds
        Time by stage: ``reference``, ``compile``, ``check``. Not stored: it differs from run to run.
    target
        The machine it was compiled for, where the backend names one.
    notes
        What the backend reports beyond that, such as an NPU compiler's estimates.
    """

    backend: str
    max_abs_error: float
    tolerance_abs: float
    tolerance_rel: float
    checked: tuple[Mapping[str, int], ...]
    bytes: int
    seconds: Mapping[str, float]
    target: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


def compile_program(
    variant: Path,
    out: Path,
    config: CompileConfig,
    progress: Progress | None = None,
    records: Path | None = None,
) -> CompileReport:
    """Compile a program or variant, check it against eager and write the compiled folder.

    Equal inputs give equal bytes.

    Parameters
    ----------
    variant
        A program or variant folder (left as it is).
    out
        An existing empty folder to fill.
    config
        Backend, tolerance and threads.
    progress
        Called with the share done and a line of text.
    records
        A folder of tuning records, for the backend tvm.

    Raises
    ------
    UnknownBackend
        If there is no such backend.
    InputError
        If the backend cannot compile for the target, or has no such option.
    MissingDependency
        If the backend's runtime is not installed; carries the command.
    CompileError
        If the backend cannot express the program; names the operator and its module.
    NumericalMismatch
        If an output differs from eager beyond the tolerance; carries the numbers.
    CorruptArtifact
        If the variant's files are damaged.
    """
    tell = progress or (lambda share, text: None)
    chosen = _available(config.backend)
    check_config(config)
    clock = _Clock()
    tell(0.0, "running the reference")
    source = Source(variant, records)
    tolerance = tolerance_for(source, config)
    cases = make_cases(source) if not chosen.reference else make_cases(source)[:1]
    clock.lap("reference")
    tell(0.2, f"compiling for {chosen.name}")
    write_signature(out, source.signature)
    write_examples(out, source.examples)
    if limits := limits_of(source):
        write_limits(out, limits)
    with disk_guard(out):
        versions = chosen.compile(source, out, config, tell)
    source.release()
    clock.lap("compile")
    tell(0.8, "checking against the reference")
    error = compare(chosen.rehearse(out, config.threads), cases, tolerance, where=chosen.name)
    clock.lap("check")
    checked = tuple(case.sizes for case in cases)
    _write_record(out, chosen.name, versions, tolerance, error, checked)
    tell(1.0, "done")
    size = sum(file.stat().st_size for file in out.iterdir())
    return CompileReport(
        chosen.name,
        error,
        tolerance.absolute,
        tolerance.relative,
        checked,
        size,
        clock.seconds,
        versions.get("target", ""),
        {key: versions[key] for key in getattr(chosen, "reported", ()) if key in versions},
    )


def load(compiled: Path | str, threads: int = 1) -> Session:
    """Return a compiled folder as a callable session; in a fresh process too, without torch unless eager needs it.

    Parameters
    ----------
    compiled
        A compiled folder.
    threads
        Threads inside one operator.

    Raises
    ------
    CorruptArtifact
        If a file is missing or damaged.
    UnknownBackend, MissingDependency
        If its backend does not exist or is not installed.
    """
    compiled = Path(compiled)
    name = backend_of(compiled)
    bounds = read_limits(compiled) if (compiled / LIMITS_FILE).exists() else None
    runner = _available(name).load(compiled, threads)
    return Session(read_signature(compiled), runner, compiled.name, bounds)


def backend_of(compiled: Path) -> str:
    """Return the name of the backend that made a compiled folder.

    Raises
    ------
    CorruptArtifact
        If the folder does not say.
    """
    path = compiled / BACKEND_FILE
    try:
        return str(json.loads(path.read_bytes())["backend"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(
            f"{BACKEND_FILE} is missing or cannot be read: {error}", where=str(path), fix="compile it again"
        ) from error


def reference(program: Path, threads: int = 1) -> Session:
    """Return a program or variant folder as it runs in torch eager, uncompiled: what others are compared with.

    Parameters
    ----------
    program
        A program or variant folder.
    threads
        Threads inside one operator.

    Raises
    ------
    CorruptArtifact
        If a file is missing or damaged.
    MissingDependency
        If torch is not installed.
    """
    return Session(read_signature(program), _available("eager").load(program, threads), program.name)


def _available(name: str) -> Backend:
    found = backend(name)
    if missing := found.available():
        raise type(missing)(
            f"the backend {name!r} cannot run here: {missing.what}", where=name, fix=missing.fix
        )
    return found


def check_config(config: CompileConfig) -> None:
    """Check target and options of a configuration against its backend, before any work begins.

    Raises
    ------
    UnknownBackend
        If there is no such backend.
    InputError
        If the backend has no such target, no such option, or a value does not fit.
    WorkbenchError
        If the target's compiler or device is not here; as :meth:`Backend.refuses` says.
    """
    chosen = backend(config.backend)
    read_options(chosen.options, config.options, chosen.name)
    target = config.target
    if target and target not in chosen.targets:
        known = ", ".join(chosen.targets)
        raise InputError(
            f"the backend {chosen.name!r} has no target {target!r}",
            where="target",
            fix=f"one of: {known}" if known else "leave it out; %mlops backends shows which have targets",
        )
    if target and (refusal := chosen.refuses(target)):
        raise refusal


def _write_record(
    out: Path,
    name: str,
    versions: Mapping[str, str],
    tolerance: Tolerance,
    error: float,
    checked: tuple[Mapping[str, int], ...],
) -> None:
    record = {
        "backend": name,
        "versions": versions,
        "tolerance": {"absolute": tolerance.absolute, "relative": tolerance.relative},
        "max_abs_error": error,
        "checked": checked,
    }
    write_bytes(out / BACKEND_FILE, codec.dumps(record).encode())


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now
