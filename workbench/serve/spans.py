"""Requests as spans, one line of OTLP's JSON each, for a collector's file receiver or anybody with ``jq``.

The form is that of OpenTelemetry's file exporter: every line is a whole ``TracesData`` (https://opentelemetry.io/docs/
specs/otel/protocol/file-exporter/), ids in hex, times as decimal text, numbers of enums as numbers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from ..errors import InputError
from .trace_context import TraceContext

LARGEST_BYTES = 256 << 20
"""A file so large is renamed to ``FILE.1`` (replacing the one before) and begun anew."""

_SERVER, _ERROR = 2, 2
_CHECK_EVERY = 256


class SpanFile:
    """Appends spans to a file that several replicas may share.

    Parameters
    ----------
    path
        The file; made when absent, its folder is not.
    facts
        Of the resource: ``model``, ``version``, ``pid``; the track is each span's, as a route may change it.

    Raises
    ------
    InputError
        If it cannot be written.
    """

    def __init__(self, path: Path, **facts: Any) -> None:
        self._path, self._written = path, 0
        named = {
            "service.name": facts["model"],
            "service.version": facts["version"],
            "service.instance.id": str(facts["pid"]),
            "process.pid": facts["pid"],
        }
        self._resource = {"attributes": [_attribute(name, value) for name, value in named.items()]}
        self._model = facts["model"]
        self._writing = threading.Lock()  # local clients have threads of their own
        try:
            self._file = self._open()
        except OSError as error:
            raise InputError(
                f"spans cannot be written: {error.strerror}", where=str(path), fix="--traces FILE"
            ) from error

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, trace: TraceContext, transport: str, status: int, seconds: float, track: str) -> None:
        """Append one request that has just been answered; a full disk or a lost folder loses spans, not requests."""
        end_ns = time.time_ns()
        span = {
            "traceId": trace.trace_id,
            "spanId": trace.span_id,
            **({"parentSpanId": trace.parent_id} if trace.parent_id else {}),
            "flags": int(trace.sampled),
            "name": f"infer {self._model}",
            "kind": _SERVER,
            "startTimeUnixNano": str(end_ns - int(seconds * 1e9)),
            "endTimeUnixNano": str(end_ns),
            "attributes": [
                _attribute("rpc.system" if transport == "grpc" else "network.protocol.name", transport),
                _attribute("http.response.status_code", status),
                _attribute("mlops.track", track),
                _attribute("mlops.request_id", trace.request_id),
            ],
            "status": {"code": _ERROR} if status >= 500 else {},
        }
        scope = {"scope": {"name": "workbench.serve"}, "spans": [span]}
        line = {"resourceSpans": [{"resource": self._resource, "scopeSpans": [scope]}]}
        text = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._writing, contextlib.suppress(OSError):
            os.write(self._file, text)  # one write: one line
            self._written += 1
            if self._written % _CHECK_EVERY == 0:
                self._turn()

    def _turn(self) -> None:
        """Begin a new file when this one is large, or when another replica has begun one."""
        fcntl.flock(self._file, fcntl.LOCK_EX)  # of replicas that find it large, one renames it
        try:
            mine, now = os.fstat(self._file), self._path.stat() if self._path.exists() else None
            if now is not None and now.st_ino == mine.st_ino:
                if now.st_size < LARGEST_BYTES:
                    return
                self._path.replace(self._path.with_name(self._path.name + ".1"))
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        fresh = self._open()
        os.close(self._file)
        self._file = fresh


def _attribute(key: str, value: str | int) -> dict[str, Any]:
    kind = {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
    return {"key": key, "value": kind}
