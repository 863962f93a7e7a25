"""No space left while a version is pushed: the error says so, what serves goes on serving."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.route.traffic import traffic
from tests.staging.conftest import Stage, infer
from workbench.errors import StorageFull


def test_a_push_onto_a_full_disk_changes_nothing(small_disk: Path, stage: Stage) -> None:
    url = stage.push().url
    filler = small_disk / "filler"
    with traffic(url, infer(), clients=2) as load:
        load.wait_for(20)
        with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(StorageFull, match=r"no space left|cannot be written"):
            stage.push(canary=0.5)
        load.wait_for(20)
        filler.unlink()
        assert stage.status().phase == "stable"
        assert stage.push(canary=0.5).phase == "canary"
        load.wait_for(20)
    assert load.failures == []
