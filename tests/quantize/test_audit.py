"""The gate is arithmetic: it passes within the allowance and refuses beyond it, with numbers and a remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import GateRefused, InputError
from workbench.quantize import QuantizeConfig
from workbench.quantize.audit import audit
from workbench.quantize.report import LayerRow, QuantizeReport

REPORT = QuantizeReport(
    QuantizeConfig(),
    (
        LayerRow("up", "linear", "static", 90, 40.0, 12.0),
        LayerRow("down", "linear", "dynamic", 5, 41.0, 30.0),
    ),
    (),
    100,
    400,
    130,
)
scores = st.floats(0, 1)


@given(scores, scores, scores)
def test_it_passes_exactly_when_the_drop_is_allowed(
    baseline: float, candidate: float, allowed: float
) -> None:
    if baseline - candidate <= allowed:
        verdict = audit(REPORT, baseline=baseline, candidate=candidate, max_drop=allowed)
        assert verdict.drop <= allowed
    else:
        with pytest.raises(GateRefused):
            audit(REPORT, baseline=baseline, candidate=candidate, max_drop=allowed)


def test_a_refusal_carries_numbers_worst_layers_and_a_remedy() -> None:
    with pytest.raises(GateRefused) as caught:
        audit(REPORT, baseline=0.9, candidate=0.8, max_drop=0.01, latency_ratio=0.5)
    error = caught.value
    assert "0.9000 -> 0.8000" in error.what
    assert "0.33x the size, 0.50x the latency" in error.what
    assert error.where == "worst layers: up (12.0 dB), down (30.0 dB)"
    assert "--mode dynamic" in error.fix
    assert "--skip up down" in error.fix
    assert error.fields["drop"] == pytest.approx(0.1)
    assert error.fields["max_drop"] == 0.01


def test_not_a_number_never_passes() -> None:
    with pytest.raises(GateRefused):
        audit(REPORT, baseline=0.9, candidate=float("nan"), max_drop=1)


@pytest.mark.parametrize("allowed", [-0.1, float("inf"), float("nan")])
def test_the_allowance_itself_is_checked(allowed: float) -> None:
    with pytest.raises(InputError, match="max_drop"):
        audit(REPORT, baseline=1, candidate=1, max_drop=allowed)
