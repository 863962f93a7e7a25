import json

import pytest

from workbench.errors import RunError, UnknownRun
from workbench.pipeline import asked
from workbench.pipeline.process import log_path
from workbench.server.home import Home, home_of
from workbench.server.runs import LOG_CHUNK, Runs
from workbench.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def runs(tmp_path):
    return Runs(Home(tmp_path, tmp_path / "root"))


def test_home_is_the_variable_or_lies_in_the_servers_root(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "chosen"))
    assert home_of("/srv/notebooks") == tmp_path / "chosen"
    monkeypatch.delenv("MLOPS_HOME")
    assert str(home_of("/srv/notebooks")) == "/srv/notebooks/.mlops"


def test_looking_at_a_store_that_is_not_there_makes_none(tmp_path):
    runs = Runs(Home(tmp_path / "absent"))
    assert runs.list(10) == {"runs": [], "seq": 0}
    with pytest.raises(UnknownRun, match="'r1': there is no store yet"):
        runs.get("r1")
    assert not (tmp_path / "absent").exists()


def test_a_store_that_appears_later_is_found(tmp_path):
    runs = Runs(Home(tmp_path))
    assert runs.list(10)["runs"] == []
    run_id = Store(tmp_path).runs.create("{}", ["capture", "quantize"], title="quantize minilm")
    (run,) = runs.list(10)["runs"]
    assert (run["id"], run["title"], run["steps_total"], run["steps_done"]) == (
        run_id,
        "quantize minilm",
        2,
        0,
    )


def test_a_run_says_what_was_typed_and_in_which_cell_of_which_notebook(store, runs, tmp_path):
    origin = str(tmp_path / "root" / "a" / "n.ipynb")
    run_id = store.runs.create("{}", ["capture"], origin=origin)
    with asked.asking("%mlops capture net --bg", "cell-7"):
        asked.note(store, run_id)
    run = runs.get(run_id)
    assert (run["line"], run["cell"], run["origin"]) == ("%mlops capture net --bg", "cell-7", "a/n.ipynb")


def test_a_run_says_how_far_it_is_and_why_it_failed(store, runs):
    run_id = store.runs.create("{}", ["capture"])
    store.events.append(run_id, 0, "step.progress", {"message": "a", "fraction": 0.1})
    store.events.append(run_id, 0, "step.progress", {"message": "b", "fraction": 0.5})
    run = runs.get(run_id)
    assert (run["message"], run["fraction"]) == ("b", 0.5)
    error = {"error": "CaptureError", "what": "no", "where": "layer 3", "fix": "try", "traceback": "long"}
    store.events.append(run_id, 0, "step.failed", error)
    store.runs.set_state(run_id, "failed")
    run = runs.get(run_id)
    assert "message" not in run
    assert run["failure"] == {"error": "CaptureError", "what": "no", "where": "layer 3", "fix": "try"}


def test_one_run_has_its_steps_and_their_error(store, runs):
    run_id = store.runs.create("{}", ["capture"])
    store.runs.finish_step(run_id, 0, "failed", error={"error": "CaptureError", "what": "no"})
    (step,) = runs.get(run_id)["steps"]
    assert (step["verb"], step["state"], step["error"]["what"]) == ("capture", "failed", "no")
    json.dumps(step)


def test_a_large_log_is_read_from_its_end_and_on_in_pieces(store, runs):
    run_id = store.runs.create("{}", ["capture", "quantize"])
    assert runs.log(run_id, -1, -100) == {"step": -1, "text": "", "next": 0, "size": 0}
    size = 50 * 1024 * 1024
    with log_path(store, run_id, 1).open("wb") as file:
        file.truncate(size)  # sparse: costs no disk
        file.seek(size)
        file.write("Ende: ü\n".encode())
    end = runs.log(run_id, -1, -16)
    assert (end["step"], end["size"], end["next"]) == (1, size + 9, size + 9)
    assert end["text"].endswith("Ende: ü\n")
    piece = runs.log(run_id, 1, 0)
    assert (len(piece["text"]), piece["next"]) == (LOG_CHUNK, LOG_CHUNK)
    assert runs.log(run_id, 1, 10**12)["text"] == ""
    assert runs.log(run_id, 0, 0)["text"] == ""


def test_cancel_asks_the_driver(store, runs):
    run_id = store.runs.create("{}", ["capture"])  # this very process drives it, and does not obey
    assert runs.cancel(run_id)["cancelling"]
    assert store.runs.cancelling(run_id)


def test_cancel_ends_a_run_whose_driver_is_gone(store, runs):
    run_id = store.runs.create("{}", ["capture"])
    store.runs.drive(run_id, "")
    assert store.runs.get(run_id).state == "interrupted"
    assert [run["id"] for run in runs.active()] == [run_id]
    assert runs.cancel(run_id)["state"] == "cancelled"
    assert runs.active() == []


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_an_ended_run_cannot_be_cancelled(store, runs, state):
    run_id = store.runs.create("{}", ["capture"])
    store.runs.set_state(run_id, state)
    with pytest.raises(RunError, match=f"is {state} already"):
        runs.cancel(run_id)


def test_some_runs_leave_out_those_that_are_none(store, runs):
    run_id = store.runs.create("{}", ["capture"])
    assert [run["id"] for run in runs.some({run_id, "deployment:x@staging"})] == [run_id]
    assert runs.some(set()) == []
