"""Beside artifacts: origins, environments, sweeps; relatives in both directions; stores of the first version."""

import sqlite3

import pytest

from workbench.errors import UnknownRun
from workbench.store import Store
from workbench.store.schema import SCHEMA


def test_every_time_an_artifact_was_made_is_kept(store, put):
    digest = put({"a": "x"})
    store.origins.note(digest, "r1", 0, {"host": "one"})
    store.origins.note(digest, "r1", 0, {"host": "another"})
    store.origins.note(digest, "r2", 3, {"host": "two"})
    assert [(one.run_id, one.facts["host"]) for one in store.origins.of(digest)] == [
        ("r1", "one"),
        ("r2", "two"),
    ]


def test_a_step_belongs_to_the_tree_noted_last_before_it(store, put):
    digest = put({"a": "x"})
    for position, tree in ((0, "first"), (2, "after resume")):
        store.origins.note_sources("r1", position, {"tree": tree})
    for position in (0, 1, 2, 3):
        store.origins.note(digest, "r1", position, {})
    trees = [one.sources["tree"] for one in sorted(store.origins.of(digest), key=lambda one: one.position)]
    assert trees == ["first", "first", "after resume", "after resume"]


def test_what_is_gone_leaves_no_origin(store, put):
    digest = put({"a": "x"})
    store.origins.note(digest, "r1", 0, {})
    store.gc(grace_s=0)
    assert store.origins.of(digest) == []


def test_relatives_in_both_directions(store, put):
    data = put({"a": "data"})
    left, right = put({"a": "l"}, parents=(data,)), put({"a": "r"}, parents=(data,))
    end = put({"a": "end"}, parents=(left, right))
    assert {node.digest for node in store.lineage(end).nodes} == {data, left, right, end}
    down = store.lineage(data, "downstream")
    assert {node.digest for node in down.nodes} == {data, left, right, end}
    assert sorted(down.neighbours()[data]) == sorted([left, right])
    assert store.lineage(left, "downstream").edges == ((end, left),)


def test_a_child_older_than_its_parent_is_told(store, put):
    parent = put({"a": "p"})
    child = put({"a": "c"}, parents=(parent,))
    assert store.lineage(child).backwards() == []
    with store.database.transaction() as connection:
        connection.execute("UPDATE artifacts SET created_s = created_s - 90 WHERE digest = ?", (child,))
    ((first, second, seconds),) = store.lineage(child).backwards()
    assert (first, second) == (child, parent)
    assert seconds == pytest.approx(90, abs=30)


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path):
    database = sqlite3.connect(tmp_path / "workbench.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version=1; COMMIT;")
    database.execute("INSERT INTO names VALUES ('old', 'sha256:00', 1.0)")
    database.commit()
    database.close()
    store = Store(tmp_path)
    assert store.names.resolve("old") == "sha256:00"
    store.environments.note("sha256:11", "{}")
    assert store.environments.get("sha256:11") == "{}"
    assert Store(tmp_path).environments.get("sha256:11") == "{}"
    store.close()


def test_a_sweep_is_driven_by_one_living_process(store):
    sweep = store.sweeps.create("two schemes", {"schemes": ["int8", "int4"]}, ["int4", "int8"])
    assert store.sweeps.take(sweep)
    store.sweeps.move(sweep, "int8", "done", {"score": 0.5})
    assert [(one.key, one.state, dict(one.facts)) for one in store.sweeps.trials(sweep)] == [
        ("int4", "pending", {}),
        ("int8", "done", {"score": 0.5}),
    ]
    assert store.sweeps.get(sweep).state == "running"
    with store.database.transaction() as connection:
        connection.execute("UPDATE sweeps SET driver = '1:1:gone'")
    assert store.sweeps.get(sweep).state == "interrupted"
    assert store.sweeps.take(sweep)
    store.sweeps.end(sweep, "done")
    assert [row.state for row in store.sweeps.list()] == ["done"]
    with pytest.raises(UnknownRun, match="no sweep"):
        store.sweeps.get("s0")


def test_a_sweep_that_runs_elsewhere_is_not_taken(store):
    from workbench.store import owner

    sweep = store.sweeps.create("one", {}, ["int8"])
    with store.database.transaction() as connection:
        connection.execute("UPDATE sweeps SET driver = ?", (owner.of(1),))
    assert not store.sweeps.take(sweep)
