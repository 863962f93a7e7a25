"""Kill each process in each phase: a line through the matrix here, all of it with ``pytest -m chaos``."""

from __future__ import annotations

import pytest

from tests.staging.chaos import CONNECTOR, PHASES, VICTIMS, run_cell
from tests.staging.conftest import Stage, both_routes, by_request, in_the_kernel

LINE = {
    ("push", "stable"),
    ("warm-up", "canary"),
    ("split", "canary"),
    ("rollout", "supervisor"),
    ("promote", "route"),
    ("promote", "client"),
    ("rollback", "client"),
    ("swap", "client"),
    ("drain", "supervisor"),
}
"""Every phase and every process."""


def test_the_line_meets_every_process() -> None:
    assert {victim for _, victim in LINE} == set(VICTIMS)
    assert {phase for phase, _ in LINE} == PHASES.keys()


@in_the_kernel
@pytest.mark.parametrize(("phase", "victim"), sorted(LINE))
def test_a_process_dies(stage: Stage, phase: str, victim: str) -> None:
    run_cell(stage, phase, victim)


@both_routes
@pytest.mark.chaos
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("phase", PHASES)
def test_every_process_in_every_phase(stage: Stage, phase: str, victim: str) -> None:
    run_cell(stage, phase, victim)


@by_request
@pytest.mark.chaos
@pytest.mark.parametrize("victim", [*VICTIMS, CONNECTOR])
@pytest.mark.parametrize("phase", PHASES)
def test_every_process_in_every_phase_with_requests_split(stage: Stage, phase: str, victim: str) -> None:
    run_cell(stage, phase, victim)
