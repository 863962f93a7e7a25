"""What lineage answers of one artifact: which model, data, code, environment, hardware, parameters; who, when."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..package.environment import EnvironmentLock, lock
from ..render.table import Table
from ..store import Origin, Store
from ..types import Manifest
from . import asked
from .locks import changes, lock_of
from .views import label, moment

_SHORT = len("sha256:") + 12
_RELATIVES = 200
"""Ancestors whose data are asked for; a longer history is cut, and said so by the tree."""


@dataclass(frozen=True)
class Answer:
    """One answer: the question in a word, the answer in a line, and the same as JSON."""

    question: str
    text: str
    value: Any


def answers(store: Store, digest: str) -> list[Answer]:
    """Answer every question for an artifact.

    Raises
    ------
    UnknownArtifact, CorruptArtifact
        If it is not there or not whole.
    """
    manifest = store.artifacts.manifest(digest)
    made = store.origins.of(digest)
    return [
        _models(store, digest),
        _parameters(manifest),
        _data(store, digest),
        *_code(manifest, made),
        _environment(store, manifest),
        *_made(store, made),
    ]


def answer_table(found: list[Answer]) -> Table:
    """Return answers as a table."""
    return Table(("question", "answer"), [(one.question, one.text) for one in found])


def parameters_of(manifest: Manifest) -> dict[str, Any]:
    """Return the parameters of the step that made an artifact, flat: ``config.scheme`` to ``int8``."""
    return dict(_flat("", manifest.step))


def _flat(prefix: str, form: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(form, Mapping):
        for key, value in form.items():
            if key not in ("type", "version", "name", "blob"):
                yield from _flat(f"{prefix}.{key}" if prefix else key, value)
    elif form not in ("", None, (), []):
        yield prefix, form


def _models(store: Store, digest: str) -> Answer:
    nodes = store.lineage(digest).nodes
    programs = [node.digest for node in nodes if node.kind == "program"]
    text = ", ".join(f"{label(store, one)} ({one[:_SHORT]})" for one in programs)
    return Answer("model", text or "no captured program among its ancestors", programs)


def _parameters(manifest: Manifest) -> Answer:
    flat = {key: value for key, value in parameters_of(manifest).items() if not _is_digest(value)}
    verb = str(manifest.step.get("type", "")).removesuffix("_step")
    text = ", ".join(f"{key}={_brief(value)}" for key, value in flat.items())
    return Answer("parameters", f"{verb} {text}".strip() or "not made by a step", {"verb": verb, **flat})


def _data(store: Store, digest: str) -> Answer:
    """Name the data of the artifact and of its ancestors: a digest is the root of the tree over all files."""
    found: dict[str, str] = {}
    for node in reversed(store.lineage(digest).nodes[-_RELATIVES:]):
        for role, value in store.artifacts.manifest(node.digest).data.items():
            found.setdefault(role, value)
    text = ", ".join(f"{role} {value[:_SHORT]}" for role, value in sorted(found.items()))
    return Answer("data", text or "none", found)


def _code(manifest: Manifest, made: list[Origin]) -> Iterator[Answer]:
    yield Answer("workbench", manifest.code or "unknown", manifest.code)
    sources = made[-1].sources if made else {}
    if not sources:
        yield Answer("code", "no working tree was noted", {})
    elif "missing" in sources:
        yield Answer("code", f"no tree: {sources['missing']}", sources)
    else:
        state = f"{sources['dirty']} file(s) changed" if sources["dirty"] else "clean"
        commit = sources["commit"][:12] or "none yet"
        yield Answer("code", f"commit {commit}, {state}, tree {sources['tree'][:12]}", sources)


def _environment(store: Store, manifest: Manifest) -> Answer:
    if not manifest.environment:
        return Answer("environment", "unknown", {})
    known = lock_of(store, manifest.environment)
    if known is None:
        return Answer(
            "environment",
            f"{manifest.environment[:_SHORT]}, not recorded in this store",
            manifest.environment,
        )
    return Answer("environment", f"{_words(known)}; {_against_now(known)}", manifest.environment)


def _words(known: EnvironmentLock) -> str:
    return f"{known.python}, {known.platform}, {len(known.packages)} packages, {known.digest[:_SHORT]}"


def _against_now(known: EnvironmentLock) -> str:
    now = lock()
    if now.digest == known.digest:
        return "the same as now"
    differing = changes(known, now)
    names = ", ".join(name for name, _, _ in differing[:5])
    return f"now {len(differing)} differ(s): {names}" + (", …" if len(differing) > 5 else "")


def _made(store: Store, made: list[Origin]) -> Iterator[Answer]:
    if not made:
        yield Answer("who and where", "not recorded: it came from outside, or from an older workbench", {})
        return
    last = made[-1]
    facts = last.facts
    features = " ".join(facts.get("features", ()))
    hardware = [facts.get("processor"), f"{facts.get('cores')} core(s)", features, *facts["accelerators"]]
    memory = f"{facts.get('memory_bytes', 0) / 1e9:.1f} GB"
    yield Answer("hardware", ", ".join(str(one) for one in (*hardware, memory) if one), dict(facts))
    typed = asked.line_of(store, last.run_id)
    line = f" by {typed.line}" if typed else ""
    yield Answer("who", f"{facts.get('user')} on {facts.get('host')}{line}", facts.get("user"))
    again = f", the last of {len(made)} times" if len(made) > 1 else ""
    when = f"{moment(last.created_s)} in run {last.run_id}, step {last.position}{again}"
    yield Answer("when", when, [one.created_s for one in made])


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("sha256:")


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:39] + "…"
