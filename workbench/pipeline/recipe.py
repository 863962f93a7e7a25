"""A recipe: steps in order, as data. The notebook, the panel and the shell all produce one and can print it.

A step is a frozen dataclass registered with the codec, one file each under ``pipeline/steps/``. Its inputs
are texts: a name or digest of the store, or ``step:N`` for what an earlier step of the recipe makes. Before a
step runs its inputs are pinned to digests, so what runs, what the cache keys and what a manifest records
never depend on a moving name.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from .. import codec
from ..codec import register
from ..errors import InputError, RunError
from ..package.isolation import Isolation
from .callables import CallableReference

if TYPE_CHECKING:
    from ..store import RunRow
    from .context import StepContext
    from .result import StepResult

VERBS = (
    "capture",
    "quantize",
    "prune",
    "tune",
    "compile",
    "auto",
    "package",
    "publish",
    "pull",
    "push",
    "call",
    "score",
)


class Step(Protocol):
    """What every step has.

    ``verb`` names it, ``inputs`` names the fields that hold artifacts, ``code`` the packages whose source
    decides its result (the cache key has it; empty for a step that acts on the world and is never cached),
    and ``name`` is what to call the output, empty for no name.
    """

    verb: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    code: ClassVar[tuple[str, ...]]

    @property
    def name(self) -> str:
        """What to call the output."""


S = TypeVar("S", bound=Step)
Body = Callable[[Any, "StepContext"], "StepResult"]
_BODIES: dict[type[Any], Body] = {}


def step_body(kind: type[S]) -> Callable[[Callable[[S, StepContext], StepResult]], Body]:
    """Register the function that runs steps of a type (decorator)."""

    def add(body: Callable[[S, StepContext], StepResult]) -> Body:
        _BODIES[kind] = body
        return body

    return add


def body_of(step: Step) -> Body:
    """Return the function that runs this step."""
    return _BODIES[type(step)]


@register("recipe")
@dataclass(frozen=True)
class Recipe:
    """Steps to run in order.

    Parameters
    ----------
    steps
        The steps; ``step:N`` in an input means the output of the N-th, counted from 0.
    retries
        How often to start a step again whose process died or failed in a way nobody foresaw.
    isolation
        Run each step in a sandbox with these limits; None for none.

    Raises
    ------
    InputError
        If there is no step, or one refers to a step that does not come before it.
    """

    steps: tuple[Any, ...]
    retries: int = 0
    isolation: Isolation | None = None

    def __post_init__(self) -> None:
        if not self.steps:
            raise InputError("a recipe needs a step", where="recipe")
        for position, step in enumerate(self.steps):
            for _, text in input_texts(step):
                if text.startswith("step:") and not (text[5:].isdigit() and int(text[5:]) < position):
                    raise InputError(
                        f"{text!r} is not an earlier step", where=f"step {position} ({step.verb})"
                    )


def input_texts(step: Step) -> list[tuple[str, str]]:
    """Return the fields of a step that hold artifacts, with their non-empty texts."""
    return [(field, getattr(step, field)) for field in step.inputs if getattr(step, field)]


def blobs_of(step: Step) -> list[str]:
    """Return the digests of the signed functions a step carries."""
    return [value.blob for value in functions_of(step).values() if value.blob]


def functions_of(step: Step) -> dict[str, CallableReference]:
    """Return the functions of a step by field."""
    fields = [field.name for field in dataclasses.fields(step)]  # type: ignore[arg-type]
    return {field: value for field in fields if isinstance(value := getattr(step, field), CallableReference)}


def portable(step: S) -> S:
    """Return the step with functions as source where they have one, so that it means the same elsewhere."""
    changed = {field: value.portable for field, value in functions_of(step).items()}
    return dataclasses.replace(step, **changed)  # type: ignore[type-var]


def pin(step: S, resolve: Callable[[str], str]) -> S:
    """Return the step with every input text replaced by the digest it means."""
    return dataclasses.replace(step, **{field: resolve(text) for field, text in input_texts(step)})  # type: ignore[type-var]


def placed(text: str, artifacts: Mapping[str, Any]) -> Step:
    """Return the step that a pipeline's text holds, with the artifacts of its inputs (by field) put in.

    Raises
    ------
    InputError
        If the text holds no step.
    """

    def digest(value: str) -> str:
        found = artifacts.get(value.removeprefix("input:"), value)
        assert isinstance(found, str), "a verb takes one artifact an input"
        return found

    step: Step = pin(loads(text), digest)
    return step


def canonical(step: Step) -> dict[str, Any]:
    """Return the JSON form that manifests record and the cache keys.

    It has no output name, and callables by fingerprint only: the blob that carries one is signed with the
    store's own key and so differs between stores, and its source as text says the same again.
    """
    form = codec.to_json(dataclasses.replace(step, name=""))  # type: ignore[type-var]
    for field, value in functions_of(step).items():
        short = codec.to_json(dataclasses.replace(value, blob=""))
        form[field] = {key: part for key, part in short.items() if key not in ("text", "stays")}
    return dict(_untagged(form))


def _untagged(form: Any) -> Any:
    """Return a JSON form that stays plain data when it is read: a manifest outlives the class of its step."""
    if isinstance(form, list):
        return [_untagged(value) for value in form]
    if isinstance(form, dict):
        return {key.removeprefix("_"): _untagged(value) for key, value in form.items()}
    return form


def tagged(form: Any) -> Any:
    """Return the JSON form that a plain one of :func:`canonical` was made from: readable by the codec again.

    Examples
    --------
    >>> tagged({"type": "call_step", "version": 1, "argument": ""})
    {'_type': 'call_step', '_version': 1, 'argument': ''}
    """
    if isinstance(form, list | tuple):
        return [tagged(value) for value in form]
    if isinstance(form, dict):
        marks = {"type": "_type", "version": "_version"} if {"type", "version"} <= form.keys() else {}
        return {marks.get(key, key): tagged(value) for key, value in form.items()}
    return form


def recipe_of(run: RunRow) -> Recipe:
    """Return the recipe of a run.

    Raises
    ------
    RunError
        If it has none: a pipeline of the user's.
    """
    recipe = loads(run.recipe)
    if not isinstance(recipe, Recipe):
        raise RunError("the run holds no recipe", where=run.id)
    return recipe


def loads(text: str) -> Any:
    """Return the recipe or step in a canonical text, importing only the verbs it names."""
    for verb in VERBS:
        if f'"{verb}_step"' in text:
            importlib.import_module(f"{__package__}.steps.{verb}")
    return codec.loads(text)
