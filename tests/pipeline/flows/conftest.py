from __future__ import annotations

from pathlib import Path

import pytest

from workbench.store import Store


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "home")
    yield store
    store.close()
