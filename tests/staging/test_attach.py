"""A replica that serves is traced for a while, by its deployment's name, and does not notice."""

from __future__ import annotations

import pytest

import workbench
from tests.route.traffic import traffic
from tests.staging.conftest import Stage, infer
from workbench.errors import InputError, UnknownDeployment
from workbench.trace import Trace

pytestmark = pytest.mark.bpf


def test_a_replica_is_traced_while_it_serves(stage: Stage) -> None:
    url = stage.push().url
    (replica,) = stage.status().tracks[0].replicas
    with traffic(url, infer(), clients=2, pause_s=0.01) as load:
        load.wait_for(20)
        result = workbench.attach(replica="tiny", seconds=1.0, hz=499, store=stage.store)
        load.wait_for(20)
    kept = Trace.load(stage.store.artifacts.path(stage.store.names.resolve(result.name)))
    assert (kept.meta.pid, kept.meta.tier) == (replica.pid, "bpf")
    assert any(frame.file.startswith(workbench.__path__[0]) for frame in kept.frames)
    assert load.failures == []
    assert stage.status().tracks[0].replicas[0].pid == replica.pid
    with pytest.raises(InputError, match="no replica of tiny/none is running"):
        workbench.attach(replica="tiny/none", seconds=0.1, store=stage.store)
    with pytest.raises(UnknownDeployment):
        workbench.attach(replica="nothing", seconds=0.1, store=stage.store)
