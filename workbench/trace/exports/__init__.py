"""A trace in the formats of other tools: one file a format, each with ``SUFFIX`` and ``dump(trace) -> bytes``.

============= ==================== ================================================================
format        suffix               read by
============= ==================== ================================================================
``pprof``     ``.pb.gz``           ``go tool pprof``, Pyroscope, Parca, speedscope
``chrome``    ``.json``            Perfetto, ``chrome://tracing``, speedscope
``collapsed`` ``.txt``             flamegraph.pl, inferno, speedscope
``svg``       ``.svg``             any browser: the flame graph
``pandas``                         :meth:`workbench.trace.Trace.to_pandas`
============= ==================== ================================================================
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from ...errors import InputError
from ..model import Trace

FORMATS = ("chrome", "collapsed", "pprof", "svg")


def dump(trace: Trace, form: str) -> bytes:
    """Return a trace as the bytes of a file.

    Parameters
    ----------
    trace
        The trace.
    form
        One of :data:`FORMATS`.

    Raises
    ------
    InputError
        If there is no such format.
    """
    if form not in FORMATS:
        raise InputError(
            f"no format is called {form!r}", where="format", fix=f"formats: {', '.join(FORMATS)}"
        )
    return bytes(import_module(f".{form}", __name__).dump(trace))


def format_of(path: Path) -> str:
    """Return the format a file's name asks for.

    Raises
    ------
    InputError
        If it has none of the suffixes.

    Examples
    --------
    >>> format_of(Path("before.pb.gz")), format_of(Path("out/trace.json"))
    ('pprof', 'chrome')
    """
    suffixes = {form: import_module(f".{form}", __name__).SUFFIX for form in FORMATS}
    for form, suffix in suffixes.items():
        if path.name.endswith(suffix):
            return form
    raise InputError(
        f"{path.name} does not say which format it wants",
        where=str(path),
        fix=f"end it in {', '.join(suffixes.values())}, or give --format NAME",
    )
