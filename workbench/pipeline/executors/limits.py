"""What an executor can give, and what of a pipeline it must refuse, by name, before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from ...errors import InputError
from ..ir.graph import Component, Graph
from ..workers.order import FUNCTION, GIVEN, KUBEFLOW, STEP, argument_of, body_of


@dataclass(frozen=True)
class Room:
    """The most that one step can be given: processors, bytes of memory, accelerators."""

    cpus: float
    memory_bytes: float
    accelerators: float = 0.0


def machine() -> Room:
    """Return what this machine has; the workbench gives no accelerator to a step."""
    return Room(float(len(os.sched_getaffinity(0))), float(psutil.virtual_memory().total))


def check(graph: Graph, room: Room, who: str) -> None:
    """Refuse a pipeline that asks for what an executor has not.

    Raises
    ------
    InputError
        With every step that asks for too much, and what.
    """
    found = [
        f"{component.name.removeprefix('comp-')} asks for {what}"
        for component in graph.leaves()
        for what in _too_much(component, room)
    ]
    if found:
        raise InputError(
            f"{who} cannot run this pipeline: {'; '.join(found)}",
            where=graph.name,
            fix="ask for less, or choose another executor",
        )


def refuse_bound(graph: Graph, who: str) -> None:
    """Refuse verbs that belong to this machine or store: they act on it, or carry a function that has no source.

    The bytes of such a function are signed with the store's own key, which stays here.

    Raises
    ------
    InputError
        With every such step, and why it or its function cannot travel.
    """
    from ..recipe import functions_of, loads

    carrying, fixes = {}, ["leave --executor out"]
    for component in graph.leaves():
        body = body_of(component)
        if STEP not in body:
            continue
        step, name = loads(argument_of(body, STEP)), component.name.removeprefix("comp-")
        for one in functions_of(step).values():
            if one.blob and not one.text:
                carrying[name] = f"{one.target} cannot travel: {one.stays}"
                fixes = ["let the function make or load what it uses", fixes[-1]]
        if stays := getattr(step, "stays", ""):
            carrying[name] = stays
    if carrying:
        raise InputError(
            f"{who} cannot run {'; '.join(f'{name}: {why}' for name, why in carrying.items())}",
            where=", ".join(carrying),
            fix=", or ".join(fixes),
        )


def _too_much(component: Component, room: Room) -> Iterator[str]:
    kinds = set(component.executor)
    if not kinds <= {"container", "importer"}:
        yield f"a {', '.join(sorted(kinds))} executor"
    container = component.container
    if container and not {FUNCTION, STEP, GIVEN, KUBEFLOW} & set(body_of(component)):
        yield f"the container image {container.get('image', '')} with a command of its own"
    resources = container.get("resources", {})
    cpus = float(resources.get("cpuRequest", resources.get("cpuLimit", 0.0)))
    if cpus > room.cpus:
        yield f"{cpus:g} processors where there are {room.cpus:g}"
    memory = float(resources.get("memoryRequest", resources.get("memoryLimit", 0.0))) * 1e9
    if memory > room.memory_bytes:
        yield f"{memory / 1e9:g} GB of memory where there are {room.memory_bytes / 1e9:.3g}"
    accelerator = resources.get("accelerator", {})
    count = float(accelerator.get("resourceCount", accelerator.get("count", 0)) or 0)
    if count > room.accelerators:
        yield f"{count:g} {accelerator.get('resourceType', accelerator.get('type', 'accelerators'))}"
