"""What a name in a command stands for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from workbench.errors import InputError, MissingInput
from workbench.magics.references import resolve


def test_a_variable_and_its_attributes() -> None:
    variables = {"data": SimpleNamespace(train=SimpleNamespace(texts=["a"]))}
    assert resolve("data.train.texts", variables, "the data") == ["a"]


def test_a_module_reference_wins_nothing_from_variables() -> None:
    assert resolve("math:pi", {"math": None}, "a number") > 3


def test_a_missing_variable_names_the_near_ones() -> None:
    with pytest.raises(MissingInput) as caught:
        resolve("encodr", {"encoder": 1, "_encodr": 2}, "the model")
    assert caught.value.what == "the notebook has no variable 'encodr' (the model)"
    assert caught.value.fix == "did you mean encoder?"


def test_a_missing_variable_without_a_near_one_says_what_to_do() -> None:
    with pytest.raises(MissingInput) as caught:
        resolve("encoder", {}, "the model")
    assert caught.value.fix == "run the cell that defines encoder"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("torch.randn(2, 4)", "give it one in a line above: x = torch.randn(2, 4)"),
        ("[1, 2]", "give it one in a line above: x = [1, 2]"),
        ("{batch}", "write a variable's name"),  # what the notebook could not fill in
        ("a b", "write a variable's name"),
    ],
)
def test_what_is_no_name_is_told_how_to_become_one(text: str, fix: str) -> None:
    with pytest.raises(MissingInput, match="is not a name") as caught:
        resolve(text, {"torch": None}, "the data")
    assert caught.value.fix == fix


def test_a_missing_attribute_names_the_near_ones() -> None:
    with pytest.raises(MissingInput, match="data has no attribute 'text'") as caught:
        resolve("data.text", {"data": SimpleNamespace(texts=1)}, "the data")
    assert caught.value.fix == "did you mean texts?"


def test_a_shell_has_no_variables() -> None:
    with pytest.raises(MissingInput, match="does not say where the model is") as caught:
        resolve("encoder", None, "the model")
    assert caught.value.fix == "write module:attribute or file.py:attribute"


@pytest.fixture
def model_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "shopmodels.py"
    path.write_text("class Box:\n    size = 7\n")
    yield path
    sys.modules.pop("shopmodels", None)


def test_a_file_reference_loads_the_file_once(model_file: Path) -> None:
    first = resolve(f"{model_file}:Box", None, "the model")
    assert first.size == 7
    assert resolve(f"{model_file}:Box", None, "the model") is first


def test_a_file_never_shadows_an_imported_module(tmp_path: Path, model_file: Path) -> None:
    import json

    clash = tmp_path / "json.py"
    clash.write_text("x = 1\n")
    assert resolve(f"{clash}:x", None, "a number") == 1
    assert sys.modules["json"] is json


def test_a_missing_file_and_a_missing_module(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no file"):
        resolve(f"{tmp_path / 'no.py'}:x", None, "the model")
    with pytest.raises(MissingInput, match=r"no module .nowhere_at_all\.x."):
        resolve("nowhere_at_all.x:y", None, "the model")


def test_a_file_that_fails_says_why(model_file: Path) -> None:
    model_file.write_text("1 / 0\n")
    with pytest.raises(InputError, match="fails to import: ZeroDivisionError: division by zero"):
        resolve(f"{model_file}:Box", None, "the model")
    assert "shopmodels" not in sys.modules


def test_a_module_whose_own_import_is_missing_is_broken_not_absent(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model_file.parent)
    monkeypatch.setattr(sys, "path", list(sys.path))
    model_file.write_text("import nowhere_at_all\n")
    with pytest.raises(InputError, match="fails to import: ModuleNotFoundError"):
        resolve("shopmodels:Box", None, "the model")
