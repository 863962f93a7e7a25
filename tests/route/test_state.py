from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import codec
from workbench.errors import StagingError
from workbench.route.policy import Verdict
from workbench.route.state import (
    Endpoint,
    RouteState,
    Track,
    promote,
    roll_back,
    settle,
    start_canary,
    swap,
    with_endpoints,
)
from workbench.route.statefile import StateFile


def track(version: int, port: int = 0) -> Track:
    return Track(version, (Endpoint(f"{version}-0", "127.0.0.1", port or 8000 + version),))


STABLE = swap(RouteState(), track(1))
CANARY = start_canary(STABLE, track(2), 1_000)

MOVES: dict[str, Callable[[RouteState, int], RouteState]] = {
    "swap": lambda state, version: swap(state, track(version)),
    "canary": lambda state, version: start_canary(state, track(version), 2_500),
    "promote": lambda state, version: promote(state),
    "roll back": lambda state, version: roll_back(state, decided_ns=version),
    "settle": lambda state, version: settle(state),
    "endpoints": lambda state, version: with_endpoints(state, version - 1, ()),
}


def test_the_life_of_a_canary() -> None:
    assert (CANARY.phase, CANARY.weight, CANARY.canary) == ("canary", 1_000, track(2))
    promoted = promote(CANARY)
    assert (promoted.phase, promoted.stable, promoted.canary) == ("draining", track(2), None)
    assert (promoted.weight, promoted.draining) == (0, track(1))
    assert settle(promoted) == swap(RouteState(), track(2))


def test_a_rollback_keeps_its_evidence() -> None:
    state = roll_back(CANARY, decided_ns=7, evidence=Verdict("errors", 9, 1, 8), by="sentinel")
    (record,) = state.rollbacks
    assert (record.version, record.by, record.reason, record.decided_ns) == (2, "sentinel", "errors", 7)
    assert (record.observed, record.stable, record.budget, record.window) == (9, 1, 8, 64)
    assert settle(state).phase == "rolled-back"
    assert settle(state).rollbacks == state.rollbacks


def test_what_cannot_be_decided() -> None:
    with pytest.raises(StagingError, match="no stable track"):
        start_canary(RouteState(), track(1), 10)
    for move in (swap, lambda s, t: start_canary(s, t, 10)):
        with pytest.raises(StagingError, match="version 2 is still a canary"):
            move(CANARY, track(3))
    with pytest.raises(StagingError, match="there is no canary"):
        promote(STABLE)
    gone = roll_back(CANARY, decided_ns=1, evidence="asked for")
    with pytest.raises(StagingError, match=r"version 2 was already rolled back\n  where: as a person asked"):
        roll_back(gone, decided_ns=2)


@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=30))
def test_every_reachable_state_is_sound(moves: list[str]) -> None:
    state = RouteState()
    for version, move in enumerate(moves, start=1):
        before = state
        try:
            state = MOVES[move](state, version)
        except StagingError:
            assert state == before
        assert (state.phase == "canary") == (state.canary is not None)
        assert state.weight == 0 or state.phase == "canary"
        assert before.stable is None or state.stable is not None
        versions = [t.version for t in (state.stable, state.canary, state.draining) if t]
        assert len(set(versions)) == len(versions)
        assert codec.loads(codec.dumps(state)) == state


def test_an_update_counts_generations_and_only_changes(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "route.json")
    file.create(RouteState())
    assert file.update(lambda state: swap(state, track(1))).generation == 1
    assert file.update(lambda state: state).generation == 1
    file.create(RouteState())  # does not overwrite
    assert file.read().stable == track(1)


def test_a_refused_change_leaves_the_file(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "route.json")
    file.create(STABLE)
    before = file.path.read_bytes()
    with pytest.raises(StagingError):
        file.update(promote)
    assert file.path.read_bytes() == before
    file.update(lambda state: swap(state, track(2)))  # the lock is free again


def _swap_often(path: Path, first: int) -> None:
    for version in range(first, first + 25):
        StateFile(path).update(lambda state, v=version: settle(swap(state, track(v))))


def test_many_writers_lose_nothing_and_readers_never_see_half(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "route.json")
    file.create(RouteState())
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_swap_often, args=(file.path, 100 * n)) for n in (1, 2)]
    for writer in writers:
        writer.start()
    watch, generations = file.watch(), [0]
    until = time.monotonic() + 60
    while any(writer.is_alive() for writer in writers):
        assert time.monotonic() < until
        if watch.changed():
            generations.append(watch.state.generation)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert generations == sorted(generations)
    assert file.read().generation == 50


def test_a_watch_keeps_what_it_knows(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "route.json")
    file.create(STABLE)
    watch = file.watch()
    assert not watch.changed()
    file.path.write_text("{")
    assert not watch.changed()
    file.path.unlink()
    assert not watch.changed()
    assert watch.state == STABLE
    file.create(CANARY)
    assert watch.changed()
    assert watch.state == CANARY


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "route.json"
    path.write_text(text)
    with pytest.raises(StagingError, match=r"cannot be read|holds no route state") as caught:
        StateFile(path).read()
    assert caught.value.where == str(path)
