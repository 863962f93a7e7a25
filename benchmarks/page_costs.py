"""What a page's main thread spends. Unlike the time between frames, a busy machine does not change it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_TASKS = ("RunTask", "ThreadControllerImpl::RunTask")
_SAMPLE_US = 200
_PATIENCE_S = 60.0


def tasks_ms(page: Any, act: Callable[[], None]) -> list[float]:
    """Return the processor time of each task of the page's main thread during ``act``, in ms, shortest first."""
    session, events, ended = page.context.new_cdp_session(page), [], []
    session.on("Tracing.dataCollected", lambda message: events.extend(message["value"]))
    session.on("Tracing.tracingComplete", lambda _: ended.append(True))
    config = {"includedCategories": ["toplevel", "devtools.timeline"]}
    session.send("Tracing.start", {"traceConfig": config, "transferMode": "ReportEvents"})
    act()
    session.send("Tracing.end")
    until = time.monotonic() + _PATIENCE_S
    while not ended:
        if time.monotonic() > until:
            raise TimeoutError(f"the browser's trace did not come within {_PATIENCE_S:.0f} s")
        page.wait_for_timeout(20)
    names = [
        one for one in events if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"
    ]
    threads = {(one["pid"], one["tid"]) for one in names}
    tasks = [one for one in events if one["name"] in _TASKS and (one["pid"], one["tid"]) in threads]
    return sorted(one.get("tdur", 0) / 1e3 for one in tasks)


def thread_ms(session: Any) -> float:
    """Return the processor time that the main thread of a page's session has used, in ms."""
    return _metric_s(session, "ThreadTime") * 1e3


def process_s(session: Any) -> float:
    """Return the processor time that the process of a page's session has used, in seconds."""
    return _metric_s(session, "ProcessTime")


def _metric_s(session: Any, name: str) -> float:
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == name)


def share_of_scripts(page: Any, act: Callable[[], None], address: str) -> float:
    """Return which share of the time in scripts during ``act`` was below a function from an address that holds a text.

    Samples every 0.2 ms; what such a function calls counts too, so what would be loaded later anyway is not taken off.
    """
    session = page.context.new_cdp_session(page)
    session.send("Profiler.enable")
    session.send("Profiler.setSamplingInterval", {"interval": _SAMPLE_US})
    session.send("Profiler.start")
    act()
    profile = session.send("Profiler.stop")["profile"]
    nodes = {node["id"]: node["callFrame"] for node in profile["nodes"]}
    parents = {child: node["id"] for node in profile["nodes"] for child in node.get("children", [])}
    ours = {node for node, frame in nodes.items() if address in frame["url"]}
    for node in nodes:  # parents come before their children
        if parents.get(node) in ours:
            ours.add(node)
    all_us = ours_us = 0
    for node, spent in zip(profile["samples"], profile["timeDeltas"], strict=True):
        if nodes[node]["functionName"] not in ("(idle)", "(program)"):
            all_us += spent
            ours_us += spent if node in ours else 0
    return ours_us / all_us
