"""Run a user's probe for a while and bring its maps home."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import InputError, MissingDependency, NoPrivilege, TraceError
from .shim import kernel_source

_HISTOGRAM = re.compile(r"\bBPF_(?:PERCPU_)?HISTOGRAM\s*\(\s*(\w+)")
_COMPLAINT = re.compile(r"\bcell:(\d+):(\d+): (?:fatal )?error: (.*)")
_MAX_TEXT = 256 * 1024
_INSTALL = "apt-get install python3-bpfcc bpftool"


@dataclass(frozen=True)
class ProbeMap:
    """A map of the probe as it was: entries of (key, value), and whether it is a log2 histogram."""

    name: str
    entries: tuple[tuple[Any, Any], ...]
    histogram: bool


def run_probe(
    text: str,
    seconds: float,
    *,
    hz: int = 99,
    every: float = 0.5,
    on_maps: Callable[[tuple[ProbeMap, ...]], None] | None = None,
) -> tuple[ProbeMap, ...]:
    """Compile a bcc program, attach it, and return its maps after a while.

    Parameters
    ----------
    text
        BPF C as bcc takes it. ``TRACEPOINT_PROBE`` and ``RAW_TRACEPOINT_PROBE`` attach where they say; a
        function ``on_sample`` attaches to the CPU clock, ``uprobe__c__malloc`` to the function ``malloc`` of
        ``libc`` in every process, ``uretprobe__c__malloc`` to its return.
    seconds
        How long it stays attached.
    hz
        Calls of ``on_sample`` a second and CPU.
    every, on_maps
        Called with the maps every so many seconds meanwhile.

    Raises
    ------
    NoPrivilege
        If we are not root.
    MissingDependency
        If bcc or bpftool is not installed.
    InputError
        If the text does not compile or the kernel refuses it: with the line of the text.
    """
    if not text.strip() or len(text) > _MAX_TEXT:
        raise InputError(
            "there is no program"
            if not text.strip()
            else f"the program has more than {_MAX_TEXT:,} characters",
            where="probe",
            fix="write BPF C below %%mlops probe",
        )
    if os.geteuid() != 0:
        raise NoPrivilege(
            f"a probe of your own runs in the kernel and needs root; uid {os.geteuid()} is not",
            where="probe",
            fix="start Jupyter as root on a machine of your own; %%mlops profile needs no rights",
        )
    request = {"text": text, "seconds": seconds, "hz": hz, "every": every}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "workbench.trace.bcc.host"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "BCC_KERNEL_SOURCE": str(kernel_source())},
        start_new_session=True,
    )
    with process:
        try:
            return _follow(process, request, on_maps)
        finally:
            process.kill()


def _follow(
    process: subprocess.Popen[str],
    request: dict[str, Any],
    on_maps: Callable[[tuple[ProbeMap, ...]], None] | None,
) -> tuple[ProbeMap, ...]:
    text = request["text"]
    histograms = set(_HISTOGRAM.findall(text))
    if process.stdin is None:
        raise TraceError("the probe has no input", where="probe")
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    for body in _messages(process):
        if body["event"] == "error":
            raise _failure(body, text)
        if body["event"] in ("maps", "end"):
            maps = tuple(_map(one, histograms) for one in body["maps"])
            if body["event"] == "end":
                return maps
            if on_maps is not None:
                on_maps(maps)
    said = process.stderr.read()[-500:] if process.stderr else ""
    raise TraceError(f"the probe's process ended: {said.strip()}", where="probe")


def _messages(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    for line in process.stdout or ():
        yield json.loads(line)


def _map(body: dict[str, Any], histograms: set[str]) -> ProbeMap:
    entries = tuple((key, value) for key, value in body["entries"])
    return ProbeMap(body["name"], entries, body["name"] in histograms)


def _failure(body: dict[str, Any], text: str) -> InputError | MissingDependency:
    said = str(body["text"])
    if body["kind"] == "missing":
        return MissingDependency("bcc is not installed", where=said, fix=_INSTALL)
    found = _COMPLAINT.search(said)
    if found is None:
        return InputError(f"the kernel refused the probe: {said.strip()[-1500:]}", where="probe")
    line, column, complaint = int(found[1]), int(found[2]), found[3]
    lines = text.splitlines()
    shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    # In a notebook the first line of the cell is the magic itself.
    return InputError(
        f"line {line} does not compile: {complaint}",
        where=f"{shown}  (column {column})",
        line=line,
        column=column,
    )
