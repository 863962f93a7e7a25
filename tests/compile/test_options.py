"""Options of a backend: typed, with every mistake named before any work begins."""

from dataclasses import dataclass
from typing import Literal

import pytest

from workbench import api
from workbench.compile import CompileConfig, check_config, parse_pairs
from workbench.compile.base import backend, backend_names
from workbench.compile.options import describe_options, read_options
from workbench.errors import InputError, MissingDependency


@dataclass(frozen=True)
class Mine:
    fast: bool = True
    rounds: int = 3
    share: float = 0.5
    mode: Literal["a", "b"] = "a"


def test_text_becomes_what_the_field_declares():
    given = parse_pairs(["fast=off", "rounds=7", "share=0.25", "mode=b"])
    assert read_options(Mine, given, "mine") == Mine(fast=False, rounds=7, share=0.25, mode="b")
    assert read_options(Mine, {"fast": False, "rounds": 7}, "mine") == Mine(fast=False, rounds=7)
    assert describe_options(Mine) == ["fast=true", "rounds=3", "share=0.5", "mode=a"]


@pytest.mark.parametrize(
    ("given", "what", "fix"),
    [
        ({"quick": "1"}, "no option quick", "options: fast=true, rounds=3"),
        ({"fast": "maybe"}, "neither true nor false", "true or false"),
        ({"rounds": "many"}, "'many' is no int", "a int"),
        ({"mode": "c"}, "'c' is no choice", "one of: a, b"),
    ],
)
def test_a_mistake_says_what_would_do(given, what, fix):
    with pytest.raises(InputError, match=what) as caught:
        read_options(Mine, given, "mine")
    assert fix in caught.value.fix


@pytest.mark.parametrize("pair", ["fast", "=1"])
def test_a_pair_needs_a_name_and_an_equals_sign(pair):
    with pytest.raises(InputError, match="is no option"):
        parse_pairs([pair])


def test_a_backend_that_has_no_options_says_so():
    with pytest.raises(InputError, match="'eager' has no option speed") as caught:
        check_config(CompileConfig("eager", options={"speed": 1}))
    assert caught.value.fix == "eager takes no options"


def test_every_backend_is_listed_with_what_it_needs():
    found = api.backends().backends
    assert tuple(found) == backend_names()
    for name, one in found.items():
        assert one["about"]
        assert one["available"] or one["fix"] or one["missing"], name
        assert set(one["targets"]) == set(backend(name).targets)


def test_a_target_without_its_compiler_is_refused_before_any_work(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependency):
        check_config(CompileConfig("ternary", target="riscv64-rvv"))
    assert "install" in api.backends().backends["ternary"]["targets"]["riscv64-rvv"]
