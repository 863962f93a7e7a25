from __future__ import annotations

import pytest

from tests.route.traffic import traffic
from tests.staging.conftest import Stage, both_routes, infer
from workbench import api, staging
from workbench.errors import UnknownDeployment
from workbench.staging import Watched


@both_routes
def test_rates_weights_and_events_are_shown(stage: Stage) -> None:
    url = stage.push().url
    stage.push(canary=0.5)
    seen: list[Watched] = []
    with traffic(url, infer(), clients=4, pause_s=0.01) as load:
        load.wait_for(40)
        result = api.watch("tiny", seconds=1.5, every=0.5, show=seen.append, store=stage.store)
    assert len(seen) >= 2
    assert result.details["last"] is seen[-1]
    assert seen[0].rates == {}
    for track in ("stable", "canary"):
        requests, errors, waits = seen[-1].rates[track]
        assert requests > 0
        assert errors == 0
        assert (waits is None) == (stage.route == "proxy")
    text = str(seen[-1])
    assert ("kernel (sk_lookup)" if stage.route == "kernel" else "user-space proxy") in text
    assert "version 2 gets 50 % of the requests" in text
    assert "<table>" in seen[-1]._repr_mimebundle_()["text/html"]


def test_watching_ends_with_the_deployment(stage: Stage) -> None:
    stage.push()
    readings = staging.watch(stage.store, "tiny", every_s=0.05)
    next(readings)
    staging.unstage(stage.store, "tiny")
    assert list(readings) == []
    with pytest.raises(UnknownDeployment):
        next(staging.watch(stage.store, "tiny"))
