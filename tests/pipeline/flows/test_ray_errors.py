"""What Ray raises is told apart: a step that failed, and a cluster that was lost under it."""

import pytest

from workbench.errors import StepFailed, StepLost
from workbench.pipeline.executors.ray_errors import unfinished
from workbench.pipeline.workers.order import Order


def test_a_lost_cluster_is_no_failed_step():
    raised = pytest.importorskip("ray.exceptions")
    order = Order("r1", 0, "for-each[1]/train", "key", (), {})
    for error in (
        raised.NodeDiedError("gone"),
        raised.LocalRayletDiedError(),
        raised.OwnerDiedError("ab" * 28, None, ""),
        raised.RpcError("unavailable"),
        ConnectionError("refused"),
    ):
        assert type(unfinished(error, order)) is StepLost, error
    for error in (raised.WorkerCrashedError(), raised.OutOfMemoryError("2 GiB"), ValueError("unpickled")):
        lost = unfinished(error, order)
        assert type(lost) is StepFailed, error
    assert "%mlops resume r1" in lost.fix
    assert lost.where == "r1, for-each[1]/train"
