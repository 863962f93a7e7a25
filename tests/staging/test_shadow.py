from __future__ import annotations

import pytest

from tests.route.traffic import traffic
from tests.staging.conftest import MOODY, Stage, eventually, in_the_kernel, infer
from workbench import staging
from workbench.errors import InputError, StagingError


def test_a_shadow_answers_nobody_and_is_compared(stage: Stage) -> None:
    url = stage.push().url
    status = stage.push(shadow=1.0)
    assert [(t.track, t.version, t.weight) for t in status.tracks] == [("stable", 1, 1.0), ("canary", 2, 0.0)]
    with traffic(url, infer(), clients=2, pause_s=0.02) as load:
        load.wait_for(40)
    assert load.failures == []
    assert set(load.by_version()) == {"1"}
    seen = eventually(lambda: (s := stage.status().shadow) and s.compared >= 30 and s)
    assert (seen.failed, seen.unlike, seen.max_abs) == (0, 0, 0.0)
    assert seen.same_top == seen.compared
    assert "shadow:" in str(stage.status())
    staging.promote(stage.store, "tiny")
    with traffic(url, infer(), clients=2) as load:
        load.wait_for(10)
    assert set(load.by_version()) == {"2"}


def test_a_shadow_that_fails_goes_and_nobody_notices(stage: Stage) -> None:
    url = stage.push().url
    stage.push(shadow=1.0, loader=MOODY)
    with traffic(url, infer(-2000.0), clients=2, pause_s=0.02) as load:
        eventually(lambda: stage.status().phase == "rolled-back")
    assert load.failures == []
    assert stage.status().rollbacks[-1].by == "sentinel"


@in_the_kernel
def test_the_kernel_copies_nothing(stage: Stage) -> None:
    with pytest.raises(InputError, match="needs the proxy"):
        stage.push(shadow=0.1)
    stage.push()
    with pytest.raises(StagingError, match="cannot copy requests"):
        stage.push(shadow=0.1, route="auto")
    with pytest.raises(InputError, match="answers nobody"):
        stage.push(shadow=0.1, canary=0.1, route="proxy")
