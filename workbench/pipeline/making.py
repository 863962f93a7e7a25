"""The recipe that makes an artifact, read from its lineage: the steps of its ancestors, in order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import RunError
from ..store import Store
from .recipe import Recipe, input_texts
from .reproduce import ancestors, step_of


def recipe_making(store: Store, digest: str) -> Recipe:
    """Return one recipe for an artifact and everything it was made from, up to what was given.

    Raises
    ------
    UnknownArtifact
        If there is no such artifact.
    RunError
        If it was given, or something in its history cannot be made again (a live module); says what.
    MissingInput
        If a function of a notebook cell is needed that no run of this store still has.
    """
    places: dict[str, int] = {}
    steps: list[Any] = []
    for one in ancestors(store, digest):
        step: Any = step_of(store, one)  # a dataclass, which its protocol cannot say
        earlier = {field: f"step:{places[text]}" for field, text in input_texts(step) if text in places}
        places[one] = len(steps)
        steps.append(replace(step, **earlier))
    if digest not in places:
        raise RunError("no step made it", where=digest, fix="%mlops lineage shows its origin")
    return Recipe(tuple(steps))
