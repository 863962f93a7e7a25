"""torch's profiler on an AOTInductor package: its kernels, which tell it their times, in the order of the calls."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from ...errors import CorruptArtifact, InputError
from ..backends.inductor import MODEL_FILE, RECORD_FILE
from ..entry import load
from ..operator_times import Operator

_WARM = 3
_CALL = re.compile(r'Source Nodes: \[(.*?)\]|KernelContextGuard _ctx\("(\w+)"')
_SHIM = re.compile(r"^(aoti_torch_(cpu_)?_*|cpp_fused_)")


def profile(compiled: Path, feeds: Mapping[str, Any], threads: int, repeats: int) -> list[Operator]:
    """Return the kernels of ``model.pt2``, called after the program's operators they do.

    Raises
    ------
    InputError
        If it was compiled before kernels told their times.
    CorruptArtifact
        If the package is damaged.
    """
    import torch
    from torch.profiler import ProfilerActivity

    runner = load(compiled, threads).runner  # checks the record too
    calls = _calls(compiled / MODEL_FILE)
    origins = json.loads((compiled / RECORD_FILE).read_bytes()).get("origins", {})
    for _ in range(_WARM):
        runner.run(feeds)
    with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(repeats):
            runner.run(feeds)
    names = {name for name, _ in calls}
    events = [
        event
        for event in sorted(seen.events(), key=lambda event: event.time_range.start)
        if re.sub(r"^graph_\d+_", "", event.name) in names
    ]
    if not calls or len(events) != repeats * len(calls):
        raise InputError(
            "this package was compiled before its kernels told their times",
            where=str(compiled),
            fix="compile it again: %mlops compile NAME --backend inductor",
        )
    return [
        _operator(
            number,
            name,
            [origins.get(node, node) for node in nodes],
            [event.cpu_time_total / 1e6 for event in events[number :: len(calls)]],
        )
        for number, (name, nodes) in enumerate(calls)
    ]


def _operator(number: int, name: str, nodes: list[str], seconds: list[float]) -> Operator:
    kind = _SHIM.sub("", name)
    return Operator(
        f"{number} {kind}", kind, median(seconds), akin=tuple(f"/{node}" for node in reversed(nodes))
    )


def _calls(package: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return the kernels the generated code calls, and the program's operators that each is for."""
    try:
        with zipfile.ZipFile(package) as archive:
            (file,) = (name for name in archive.namelist() if name.endswith(".wrapper.cpp"))
            text = archive.read(file).decode()
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise CorruptArtifact(
            f"the package cannot be read: {error}", where=str(package), fix="compile it again"
        ) from error
    nodes: tuple[str, ...] = ()
    found = []
    for listed, kernel in _CALL.findall(text):
        if kernel:
            found.append((kernel, nodes))
        else:
            nodes = tuple(word.strip() for word in listed.split(",") if word.strip())
    return found
