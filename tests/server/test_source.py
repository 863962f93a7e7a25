import pytest

from workbench.errors import RunError, UnknownRun
from workbench.server.source import RunSource, home_of
from workbench.store import Store


def test_home_is_the_variable_or_lies_in_the_servers_root(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "chosen"))
    assert home_of("/srv/notebooks") == tmp_path / "chosen"
    monkeypatch.delenv("MLOPS_HOME")
    assert str(home_of("/srv/notebooks")) == "/srv/notebooks/.mlops"


def test_looking_at_a_store_that_is_not_there_makes_none(tmp_path):
    source = RunSource(tmp_path / "absent")
    assert source.list(10) == {"runs": []}
    with pytest.raises(UnknownRun, match="'r1': there is no store yet"):
        source.get("r1")
    assert not (tmp_path / "absent").exists()


def test_a_store_that_appears_later_is_found(tmp_path):
    source = RunSource(tmp_path)
    assert source.list(10) == {"runs": []}
    run_id = Store(tmp_path).runs.create("{}", ["capture", "quantize"], title="quantize minilm")
    (run,) = source.list(10)["runs"]
    assert (run["id"], run["title"], run["steps_total"], run["steps_done"]) == (
        run_id,
        "quantize minilm",
        2,
        0,
    )


def test_one_run_has_its_steps_and_their_error(tmp_path):
    store = Store(tmp_path)
    run_id = store.runs.create("{}", ["capture"])
    store.runs.finish_step(run_id, 0, "failed", error={"error": "CaptureError", "what": "no"})
    (step,) = RunSource(tmp_path).get(run_id)["steps"]
    assert (step["verb"], step["state"], step["error"]["what"]) == ("capture", "failed", "no")


def test_cancel_asks_the_driver(tmp_path):
    store = Store(tmp_path)
    run_id = store.runs.create("{}", ["capture"])  # this very process drives it, and does not obey
    assert RunSource(tmp_path).cancel(run_id)["cancelling"]
    assert store.runs.cancelling(run_id)


def test_cancel_ends_a_run_whose_driver_is_gone(tmp_path):
    store = Store(tmp_path)
    run_id = store.runs.create("{}", ["capture"])
    store.runs.drive(run_id, "")
    assert store.runs.get(run_id).state == "interrupted"
    assert RunSource(tmp_path).cancel(run_id)["state"] == "cancelled"


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_an_ended_run_cannot_be_cancelled(tmp_path, state):
    store = Store(tmp_path)
    run_id = store.runs.create("{}", ["capture"])
    store.runs.set_state(run_id, state)
    with pytest.raises(RunError, match=f"is {state} already"):
        RunSource(tmp_path).cancel(run_id)


def test_unknown_run(tmp_path):
    Store(tmp_path)
    with pytest.raises(UnknownRun, match="no run has the id 'nope'"):
        RunSource(tmp_path).cancel("nope")
