"""Which layout is taken, and that it is measured once."""

import numpy as np
import pytest

from workbench.kernels import choice
from workbench.kernels.targets import target_named


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(choice, "_caches", lambda: (2**20, 8 * 2**20))
    monkeypatch.setattr(choice, "_LARGEST", 16 * 2**20)
    monkeypatch.setattr(choice, "_SECONDS", 0.0)
    return tmp_path / "mlops-workbench/kernels"


def test_rates_are_measured_once_and_a_damaged_record_is_measured_anew(here, monkeypatch):
    first = choice.rates()
    assert all(rate > 0 for levels in first.values() for rate in levels.values())
    (record,) = here.glob("*.json")
    with monkeypatch.context() as patch:
        patch.setattr(choice, "_measure", lambda *_: pytest.fail("measured twice"))
        assert choice.rates() == first
    record.write_text('{"t2": {}}')
    assert choice.rates().keys() == {"t2", "t5"}


def test_the_faster_layout_at_the_place_its_weights_come_from(monkeypatch):
    rates = {
        "t2": {"near": 9.0, "shared": 5.0, "memory": 2.0},
        "t5": {"near": 6.0, "shared": 5.5, "memory": 3.0},
    }
    monkeypatch.setattr(choice, "_caches", lambda: (2**20, 32 * 2**20))
    monkeypatch.setattr(choice, "rates", lambda threads: rates)
    chosen = {size: choice.choose(size) for size in (10**6, 10**7, 10**9)}
    assert [c.layout for c in chosen.values()] == ["t2", "t5", "t5"]
    assert [c.level for c in chosen.values()] == ["near", "shared", "memory"]
    # 4 MB a core do not fit its own cache; shared by 8 cores they do
    assert choice.choose(16_000_000, threads=8).layout == "t2"
    # the smaller layout may fit where the larger does not
    assert choice.choose(3_600_000).rates == {"t2": 5.0, "t5": 6.0}


def test_a_rule_decides_for_what_cannot_be_measured_here(monkeypatch):
    monkeypatch.setattr(choice, "rates", lambda threads: pytest.fail("measured for another machine"))
    monkeypatch.setattr(
        choice, "target_named", lambda name: target_named("generic" if name == "host" else name)
    )
    dense = [choice.choose(size, target="x86-64-avx512-vnni").layout for size in (10**6, 10**8)]
    assert dense == ["t2", "t5"]
    assert choice.choose(10**8, target="aarch64-i8mm") == choice.Choice("t2", "shared", {})


def test_sizes_of_caches_are_whole(monkeypatch):
    near, last = choice.cache_bytes()
    assert near >= 0
    assert last >= near
    assert np.isfinite(near)
