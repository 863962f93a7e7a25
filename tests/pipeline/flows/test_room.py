"""What several runs share: a cluster that does not answer is an error of ours, however it fails to."""

import pytest

from workbench.errors import RunError
from workbench.pipeline.executors import room


@pytest.mark.parametrize("limit_s", [0.01, 60.0])  # it is ended, or ends by itself: there is no such module
def test_a_cluster_that_does_not_answer_is_named(monkeypatch, limit_s):
    monkeypatch.setattr(room, "_READY_S", limit_s)
    with pytest.raises(RunError, match=r"no Ray cluster answers at 192\.0\.2\.1:6379") as caught:
        room._answer("workbench.pipeline.executors.absent", "192.0.2.1:6379")
    assert "RAY_AUTH_TOKEN_PATH" in caught.value.fix
