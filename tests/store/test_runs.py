"""Runs, steps and events as the store keeps them."""

import signal
import subprocess
import sys

import pytest

from workbench.errors import UnknownRun
from workbench.store import owner


@pytest.fixture
def stranger():
    """The owner text of a process that lives until the test kills it."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process, owner.of(process.pid)
    process.kill()
    process.wait()


def test_a_run_and_its_steps(store):
    run = store.runs.create('{"steps":[]}', ["capture", "quantize"], title="capture x", origin="nb")
    assert store.runs.get(run).state == "pending"
    store.runs.drive(run, owner.current())
    store.runs.start_step(run, 0, owner.current())
    store.runs.finish_step(run, 0, "done", result={"output": "d"}, cached=True)
    store.runs.start_step(run, 1, owner.current())
    store.runs.finish_step(run, 1, "failed", error={"error": "GateRefused"})
    store.runs.set_state(run, "failed")
    row = store.runs.get(run)
    assert (row.state, row.steps_total, row.steps_done, row.steps_cached) == ("failed", 2, 1, 1)
    assert row.steps[0].result == {"output": "d"}
    assert row.steps[0].cached
    assert row.steps[1].error == {"error": "GateRefused"}
    assert row.steps[1].attempt == 1
    assert row.finished_s is not None


def test_a_run_of_dead_processes_is_interrupted(store, stranger):
    process, who = stranger
    run = store.runs.create("[]", ["call"])
    store.runs.drive(run, who)
    assert store.runs.get(run).state == "running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.runs.get(run).state == "interrupted"
    assert store.runs.list(1)[0].state == "interrupted"


def test_a_living_step_keeps_a_run_alive(store, stranger):
    _, who = stranger
    run = store.runs.create("[]", ["call"])
    store.runs.drive(run, "1:0:none")
    store.runs.start_step(run, 0, who)
    assert store.runs.get(run).state == "running"


def test_a_run_that_ends_between_two_looks_is_not_interrupted(store, monkeypatch):
    """Its row is read as running, then it ends with its process, then its process is looked for."""

    run = store.runs.create("{}", ["call"])

    def ends(text):
        store.runs.set_state(run, "done")
        return False

    monkeypatch.setattr(owner, "alive", ends)
    for look in (store.runs.get, lambda run: store.runs.list()[0], lambda run: store.runs.some([run])[0]):
        store.runs.set_state(run, "running")
        assert look(run).state == "done"


def test_the_newest_runs_come_first(store):
    ids = [store.runs.create("[]", ["call"], title=str(n)) for n in range(5)]
    assert [row.id for row in store.runs.list(3)] == ids[:1:-1]


def test_an_unknown_run(store):
    with pytest.raises(UnknownRun, match="no run has the id 'r1'"):
        store.runs.get("r1")


def test_asking_to_cancel(store):
    run = store.runs.create("[]", ["call"])
    assert not store.runs.cancelling(run)
    store.runs.ask_cancel(run)
    assert store.runs.cancelling(run)
    store.runs.drive(run, owner.current())
    assert store.runs.cancelling(run), "its driver, named before, only begins"
    store.runs.drive(run, owner.current(), instead_of=owner.current())
    assert not store.runs.cancelling(run), "driving again takes the request back"
    store.runs.ask_cancel(run)
    store.runs.drive(run, "another")
    assert not store.runs.cancelling(run), "and so does another driver"


def test_events_replay_from_any_point(store):
    run, other = store.runs.create("[]", []), store.runs.create("[]", [])
    first = store.events.append(run, 0, "step.started", {"verb": "call"})
    store.events.append(other, -1, "run.started")
    last = store.events.append(run, 0, "step.done")
    assert [e.kind for e in store.events.since(0, run)] == ["step.started", "step.done"]
    assert [e.kind for e in store.events.since(first)] == ["run.started", "step.done"]
    assert store.events.since(last) == []
    assert store.events.last() == last
    assert len(store.events.since(0, limit=2)) == 2


def test_who_made_an_artifact(store, put):
    digest = put({"a": "x"})
    first, second = store.runs.create("[]", ["call"]), store.runs.create("[]", ["call"])
    store.runs.refer(first, 0, "output", digest)
    store.runs.refer(second, 0, "output", digest)
    store.runs.refer(second, 0, "input", digest)
    assert store.runs.made(digest) == [(second, 0), (first, 0)]


def test_owner_texts(stranger):
    process, who = stranger
    assert owner.alive(who)
    assert owner.pid_of(who) == process.pid
    reused = who.replace(who.split(":")[1], "1")
    assert not owner.alive(reused), "the same pid with another start is another process"
    process.kill()
    assert not owner.alive(who) or process.wait() is not None  # a zombie is not alive either
    process.wait()
    assert not owner.alive(who)
    assert not owner.alive("")
    assert not owner.alive("nonsense")


def test_of_two_processes_with_one_step_one_gets_it(store, stranger):
    process, other = stranger
    run = store.runs.create("{}", ["train"])
    assert store.runs.claim_step(run, 0, other)
    assert not store.runs.claim_step(run, 0, owner.current())
    process.kill()
    process.wait()
    assert store.runs.claim_step(run, 0, owner.current())  # whoever died with it has it no more
    store.runs.finish_step(run, 0, "done", result={})
    assert not store.runs.claim_step(run, 0, owner.current())
    store.runs.reopen_step(run, 0)
    assert store.runs.claim_step(run, 0, owner.current())
    assert store.runs.step(run, 0).attempt == 3


def test_what_is_recorded_together_is_recorded_whole_or_not_at_all(store):
    with pytest.raises(KeyboardInterrupt), store.together():
        run = store.runs.create("{}", ["train"])
        store.runs.start_step(run, 0, owner.current())
        raise KeyboardInterrupt
    assert store.runs.list() == []
    with store.together():
        run = store.runs.create("{}", ["train"])
        with store.together():
            store.events.append(run, 0, "inner", {})
    assert [event.kind for event in store.events.since(0)] == ["inner"]
