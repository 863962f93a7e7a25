"""Rollouts that go on by themselves."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.route.traffic import traffic
from tests.staging.conftest import MOODY, Stage, both_routes, eventually, infer
from workbench import staging
from workbench.errors import InputError, StagingError
from workbench.staging import rollout_plan
from workbench.staging.deployment import Deployment


def weight(stage: Stage) -> float:
    track = stage.status().track("canary")
    return track.weight if track else -1.0


@both_routes
def test_a_good_canary_is_promoted_by_itself(stage: Stage) -> None:
    url = stage.push().url
    with traffic(url, infer(), clients=4) as load:
        status = stage.push(canary=(0.2, 0.5, 1.0), every_s=0.5)
        assert [(t.track, t.weight) for t in status.tracks] == [("stable", 0.8), ("canary", 0.2)]
        eventually(lambda: (t := stage.status().track("stable")) and t.version == 2)
        load.wait_for(50)
    assert load.failures == []
    texts = [event.text for event in stage.record().events]
    assert "version 2 gets 50 % of the requests" in texts
    assert "version 2 gets all requests" in texts
    assert eventually(lambda: stage.record().rollout is None)


def test_a_paused_rollout_stays_until_it_may_go_on(stage: Stage) -> None:
    url = stage.push().url
    stage.push(canary=(0.3, 1.0), every_s=0.2)
    staging.pause(stage.store, "tiny")
    with traffic(url, infer(), clients=2) as load:
        load.wait_for(150)
        time.sleep(1.5)  # several ticks of the supervisor
        assert weight(stage) == 0.3
        staging.pause(stage.store, "tiny", paused=False)
        eventually(lambda: (t := stage.status().track("stable")) and t.version == 2)
    assert load.failures == []


def test_a_rollout_waits_for_requests_and_ends_with_its_canary(stage: Stage) -> None:
    stage.push()
    stage.push(canary=(0.5, 1.0), every_s=0.1)
    time.sleep(1.5)
    assert weight(stage) == 0.5  # nobody asked anything: it has not shown itself
    staging.rollback(stage.store, "tiny")
    eventually(lambda: stage.record().rollout is None)
    with pytest.raises(StagingError, match="no rollout goes on"):
        staging.pause(stage.store, "tiny")


def test_a_bad_canary_ends_its_rollout(stage: Stage) -> None:
    url = stage.push().url
    stage.push(canary=(0.5, 1.0), every_s=3600, loader=MOODY)
    with traffic(url, infer(-2000.0), clients=2) as load:
        eventually(lambda: stage.status().phase == "rolled-back")
    assert load.failures  # what the canary answered
    eventually(lambda: stage.record().rollout is None)


def test_setting_the_clock_moves_no_rollout(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.push()
    stage.push(canary=(0.5, 1.0), every_s=3600)
    deployment = Deployment(stage.store, "tiny")
    monkeypatch.setattr(time, "time", lambda: 9e9)
    monkeypatch.setattr(time, "time_ns", lambda: 9 * 10**18)
    before = stage.record().rollout
    rollout_plan.advance(deployment)
    assert stage.record().rollout == before
    assert before is not None
    due = replace(before, due_ns=0)
    deployment.records.update(lambda record: replace(record, rollout=due))
    rollout_plan.advance(deployment)
    assert weight(stage) == 0.5  # due, but without a request


def test_a_plan_is_not_dropped_while_its_push_goes_on(stage: Stage) -> None:
    """A push writes its plan before its canary gets a share: the supervisor may look in between."""
    stage.push()
    deployment = Deployment(stage.store, "tiny")
    planned = rollout_plan.plan(2, (1000, 10000), 3600)
    with deployment.operation("push"):
        deployment.records.update(lambda record: replace(record, rollout=planned))
        rollout_plan.advance(deployment)
        assert stage.record().rollout == planned
    rollout_plan.advance(deployment)
    assert stage.record().rollout is None


@pytest.mark.parametrize("shares", [(0.5, 0.1), (0.1, 0.1), (0.1, 1.5)])
def test_shares_that_do_not_rise(stage: Stage, shares: tuple[float, ...]) -> None:
    with pytest.raises(InputError):
        stage.push(canary=shares)


def test_a_period_that_is_none(stage: Stage) -> None:
    with pytest.raises(InputError, match="seconds at each share"):
        stage.push(canary=(0.1, 1.0), every_s=0)
