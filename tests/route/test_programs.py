"""The programs' decisions without traffic: the policy's vectors by test runs."""

from __future__ import annotations

import ctypes as c
from collections.abc import Iterator
from typing import Any

import pytest

from tests.route.test_policy import VECTORS
from workbench.bpf.build import load_object
from workbench.bpf.libbpf import BpfObject, Library
from workbench.route.kernel import layout
from workbench.route.kernel.pinned import OBJECTS, SHARED

pytestmark = pytest.mark.bpf


class PickCase(c.Structure):
    _fields_ = (("ticket", c.c_uint32), ("weight", c.c_uint32), ("canary", c.c_uint32))


class OutcomeCase(c.Structure):
    _fields_ = (("metric", c.c_uint32), ("canary", c.c_uint32), ("bad", c.c_uint32), ("state", c.c_uint32))


@pytest.fixture(scope="module")
def split() -> Iterator[BpfObject]:
    loaded = BpfObject(Library(), "split", load_object("split", OBJECTS), {})
    yield loaded
    loaded.close()


@pytest.mark.parametrize("case", VECTORS["split"], ids=lambda case: f"{case['first']}-{case['weight']}")
def test_split_vectors(split: BpfObject, case: dict[str, Any]) -> None:
    picked = []
    for n in range(case["count"]):
        one = PickCase((case["first"] + n) % 2**32, case["weight"], 9)
        assert split.run("try_pick", one) == 0
        picked += [n] * one.canary
    assert picked == case["canary"]


@pytest.mark.parametrize("metric", range(len(layout.METRICS)), ids=layout.METRICS)
@pytest.mark.parametrize("case", VECTORS["sentinel"], ids=lambda case: case["name"])
def test_sentinel_vectors(split: BpfObject, case: dict[str, Any], metric: int) -> None:
    table = split.map("control")
    control = layout.Control(state=layout.ACTIVE, weight=5_000, breaches=case["breaches"])
    table.set(bytes(4), bytes(control))
    found = None
    for at, letter in enumerate(case["outcomes"]):
        one = OutcomeCase(metric, letter in "cC", letter.isupper(), 0)
        assert split.run("try_observe", one) == 0
        if one.state == layout.ROLLED_BACK:
            after = layout.Control.from_buffer_copy(table.get(bytes(4)) or b"")
            found = {"at": at, "observed": after.audit.observed, "stable": after.audit.stable}
            assert layout.REASONS[after.audit.reason] == layout.METRICS[metric]
            assert after.audit.flip_ns >= after.audit.breach_ns > 0
            break
    assert found == case["verdict"]


def test_the_structures_are_those_of_the_programs(split: BpfObject) -> None:
    for name, shape in (("control", layout.Control), ("replicas", layout.Replica)):
        assert split.map(name).value_size == c.sizeof(shape)
    assert set(SHARED) >= {"control", "replicas", "drains"}
