"""Functions as source text: what travels with them, and what is refused by name."""

from __future__ import annotations

import json as jason

import pytest

from workbench.errors import InputError, MissingInput
from workbench.pipeline.dsl.step import step
from workbench.pipeline.function_source import FunctionSource, source_of
from workbench.pipeline.workers.body import load

LIMIT = {"most": (1, 2.5, None)}
HANDLE = object()


class Scaler:
    def __init__(self, by):
        self.by = by

    def __call__(self, x):
        return x * self.by + LIMIT["most"][0]


@step
def other_step(x: int) -> int:
    return x + 1


def helper(x, depth=2):
    return x if depth == 0 else helper(x, depth - 1)


def uses_everything(x: int) -> str:
    return jason.dumps([helper(x), Scaler(2)(x), other_step(x), LIMIT["most"][1]])


@pytest.fixture
def notebook(monkeypatch):
    """Make this module one that a fresh process cannot import, as a notebook is."""
    from workbench.pipeline import function_source as source

    importable = source.is_importable
    monkeypatch.setattr(source, "is_importable", lambda f: f.__module__ != __name__ and importable(f))


def test_what_a_function_uses_travels_with_it(notebook):
    source = source_of(uses_everything)
    assert "import json as jason" in source.text
    assert load(source)(3) == uses_everything(3)


def test_closures_travel_too():
    by = 5

    def inner(x):
        return x * by

    assert load(source_of(inner))(2) == 10


def test_what_has_no_source_is_named(notebook):
    def uses_handle():
        return HANDLE

    with pytest.raises(InputError, match=r"HANDLE.*object.*cannot travel"):
        source_of(uses_handle)
    namespace: dict = {}
    exec("def made(): return 1", namespace)
    with pytest.raises(InputError, match="source cannot be found"):
        source_of(namespace["made"])


def test_the_fingerprint_is_that_of_the_text(notebook):
    first, second = source_of(helper), source_of(helper)
    assert first == second
    assert source_of(uses_everything).fingerprint != first.fingerprint


def test_an_importable_function_travels_by_name_and_must_be_the_same_code():
    import workbench.pipeline.naming as module

    source = source_of(module.as_name)
    assert (source.text, source.target) == ("", "workbench.pipeline.naming:as_name")
    assert load(source)("a b") == "a-b"
    with pytest.raises(MissingInput, match="another version"):
        load(FunctionSource(source.target, "sha256:0"))


def test_inputs_must_have_names():
    with pytest.raises(InputError, match="names its inputs"):

        @step
        def many(*args): ...
