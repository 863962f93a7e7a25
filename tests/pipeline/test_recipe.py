"""Recipes: data that survives JSON, with inputs pinned to digests."""

import json
from dataclasses import replace

import pytest

from workbench import codec
from workbench.errors import InputError
from workbench.pipeline.callables import CallableReference
from workbench.pipeline.recipe import Recipe, canonical, loads, pin
from workbench.pipeline.steps.call import CallStep
from workbench.pipeline.steps.capture import CaptureStep
from workbench.pipeline.steps.compile import CompileStep
from workbench.pipeline.steps.package import PackageStep
from workbench.pipeline.steps.push import PushStep
from workbench.pipeline.steps.quantize import QuantizeStep
from workbench.quantize import QuantizeConfig

FUNCTION = CallableReference("__main__:f", "sha256:1", "sha256:2")
STEPS = (
    CaptureStep(factory=FUNCTION, examples="sha256:e", name="m"),
    QuantizeStep(
        "step:0", QuantizeConfig(mode="static", skip=("head",)), "sha256:c", FUNCTION, 0.01, 1, "m:int8"
    ),
    CompileStep("step:1", name="m:int8/onnxruntime"),
    PackageStep("step:2", "m:int8"),
    PushStep("step:3", "m", canary=0.1),
    CallStep(FUNCTION),
)


def test_every_step_survives_json():
    recipe = Recipe(STEPS, retries=2)
    assert loads(codec.dumps(recipe)) == recipe


def test_an_unknown_field_is_an_error():
    form = json.loads(codec.dumps(Recipe((CompileStep("m:int8"),))))
    form["steps"][0]["bakcend"] = "x"
    with pytest.raises(InputError, match="compile_step has no field bakcend"):
        loads(json.dumps(form))


@pytest.mark.parametrize("text", ["step:0", "step:1", "step:x", "step:-1"])
def test_a_step_may_only_use_earlier_ones(text):
    with pytest.raises(InputError, match="is not an earlier step"):
        Recipe((CompileStep(text),))


def test_an_empty_recipe_is_refused():
    with pytest.raises(InputError, match="needs a step"):
        Recipe(())


def test_pinning_replaces_the_inputs_and_nothing_else():
    pinned = pin(STEPS[1], lambda text: f"<{text}>")
    assert pinned == replace(STEPS[1], program="<step:0>", calibration="<sha256:c>")
    assert pin(CallStep(FUNCTION), lambda text: pytest.fail("there is nothing to pin")) == CallStep(FUNCTION)


def test_the_canonical_form_has_no_name_no_blob_and_no_tags():
    form = canonical(STEPS[1])
    assert form["name"] == ""
    assert form["evaluate"] == {
        "type": "callable",
        "version": 1,
        "target": "__main__:f",
        "fingerprint": "sha256:1",
        "blob": "",
    }
    assert codec.from_json(form)["program"] == "step:0"
    assert "_type" not in json.dumps(form)
