"""Errors cross processes unchanged, and every class of the tree is drawn in the docstring."""

from __future__ import annotations

import pytest

from workbench import errors


def every_class() -> list[type[errors.WorkbenchError]]:
    found: list[type[errors.WorkbenchError]] = [errors.WorkbenchError]
    for cls in found:
        found.extend(cls.__subclasses__())
    return [cls for cls in found if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", every_class(), ids=lambda c: c.__name__)
def test_round_trip_keeps_class_text_and_fields(cls: type[errors.WorkbenchError]) -> None:
    error = cls("it broke", where="layer 3", fix="try again", drop=0.25)
    again = errors.from_json(error.to_json())
    assert type(again) is cls
    assert str(again) == "it broke\n  where: layer 3\n  next:  try again"
    assert again.fields == {"drop": 0.25}


@pytest.mark.parametrize("cls", every_class(), ids=lambda c: c.__name__)
def test_docstring_draws_the_tree(cls: type[errors.WorkbenchError]) -> None:
    assert cls.__name__ in (errors.__doc__ or "")


def test_a_notebook_is_told_the_cause_once() -> None:
    error = errors.CaptureError("it cannot be captured: bad size")
    error.__cause__ = RuntimeError("bad size\npages of hints")
    assert error._render_traceback_() == ["CaptureError: it cannot be captured: bad size"]
    error.__cause__ = OSError("the disk")
    assert error._render_traceback_()[-1] == "  cause: OSError: the disk"


def test_an_unforeseen_class_becomes_step_failed() -> None:
    assert isinstance(errors.from_json({"error": "ZeroDivisionError", "what": "x"}), errors.StepFailed)


def test_missing_dependency_carries_the_install_command() -> None:
    assert errors.missing_dependency("tvm", "tvm").fix == "pip install 'mlops-workbench[tvm]'"
