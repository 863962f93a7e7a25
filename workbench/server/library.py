"""Artifacts as the panel sees them: models with their lineage and figures, profiles with their reports."""

from __future__ import annotations

import functools
import html
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..errors import CorruptArtifact, InputError, UnknownArtifact, UnknownRun
from ..pipeline.figures import figures
from ..store import Store
from .home import Home

MODELS = ("program", "variant", "compiled", "package")
_PARAMETERS = ("scheme", "mode", "backend", "max_drop", "threads")


class Library:
    """The artifacts of one store. Manifests never change, so each is read once."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._facts: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def models(self) -> dict[str, Any]:
        """Return ``{"models": [...], "refusals": [...]}``: newest first; parents say what was made from what."""
        store = self.home.store()
        if store is None:
            return {"models": [], "refusals": []}
        kept = [self._artifact(store, row) for row in store.artifacts.list() if row.kind in MODELS]
        return {"models": [one for one in kept if one is not None], "refusals": refusals(store)}

    def profiles(self) -> dict[str, Any]:
        """Return ``{"profiles": [...]}``: the traces, newest first."""
        store = self.home.store()
        rows = store.artifacts.list("trace") if store else []
        kept = [self._artifact(store, row) for row in rows] if store else []
        return {"profiles": [one for one in kept if one is not None]}

    def report(self, digest: str) -> str:
        """Return a profile's report as a page without scripts.

        Raises
        ------
        UnknownArtifact
            If there is no such artifact.
        InputError
            If it is no profile.
        """
        from .. import trace

        store = self.home.require(f"no artifact {digest}", UnknownArtifact)
        resolved = store.names.resolve(digest)
        kind = store.artifacts.manifest(resolved).kind
        if kind != "trace":
            raise InputError(f"{digest} is a {kind}, not a profile", where=digest)
        report = trace.TraceReport(trace.Trace.load(store.artifacts.path(resolved)))
        name = (store.names.of(resolved) or [resolved])[0]
        return _PAGE.format(title=html.escape(name), body=report.html())

    def _artifact(self, store: Store, row: Any) -> dict[str, Any] | None:
        with self._lock:
            known = self._facts.get(row.digest)
        if known is None:
            try:
                known = _facts(store, row.digest)
            except (CorruptArtifact, UnknownArtifact):  # collected meanwhile, or damaged: `verify` says so
                return None
            with self._lock:
                self._facts[row.digest] = known
        measured = {
            m.key: {"value": m.value, "unit": m.unit, "baseline": m.baseline}
            for m in store.measurements.of(row.digest)
        }
        return {
            "digest": row.digest,
            "kind": row.kind,
            "size_bytes": row.size_bytes,
            "created_s": row.created_s,
            "names": store.names.of(row.digest),
            "measured": measured,
            "figures": asdict(figures(store, row.digest)),
            **known,
        }


def _facts(store: Store, digest: str) -> dict[str, Any]:
    manifest = store.artifacts.manifest(digest)
    step = dict(manifest.step)
    config = step.get("config")
    known = {**(config if isinstance(config, Mapping) else {}), **step}
    gate = "passed" if step.get("max_drop") is not None and "drop" in manifest.metrics else ""
    return {
        "parents": list(manifest.parents),
        "verb": str(step.get("type", "")).removesuffix("_step"),
        "parameters": {key: known[key] for key in _PARAMETERS if known.get(key) is not None},
        "metrics": dict(manifest.metrics),
        "gate": gate,
    }


def refusals(store: Store, limit: int = 100) -> list[dict[str, Any]]:
    """Return what the gate refused, newest first: which program, which scheme, and the numbers."""
    found = []
    for event in store.events.of_kind("step.failed", limit):
        if event.payload.get("error") != "GateRefused":
            continue
        try:
            recipe = _recipe(store, event.run_id)
        except UnknownRun:
            continue
        step = recipe["steps"][event.step] if event.step < len(recipe["steps"]) else {}
        found.append(
            {
                "run": event.run_id,
                "program": step.get("program", ""),
                "scheme": (step.get("config") or {}).get("scheme", ""),
                "what": event.payload.get("what", ""),
                "created_s": event.created_s,
            }
        )
    return found


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    return json.loads(text)


def _recipe(store: Store, run_id: str) -> Any:
    return _parsed(store.runs.get(run_id).recipe)


_PAGE = """<!doctype html><html><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 1em; color: #1f1f1f; background: #fff; }}
table {{ border-collapse: collapse; margin: 1em 0; font-size: 13px; }}
td, th {{ padding: 2px 10px; border-bottom: 1px solid #e0e0e0; }}
caption {{ padding: 4px 0; }}
</style></head><body><h1 style="font-size:1.2em">{title}</h1>{body}</body></html>"""
