"""The whole story of a small model, in a real kernel, against the real api."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

SETUP = """
import torch
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4)).eval()
batch = torch.randn(8, 16)
calibration = list(torch.randn(64, 16).split(8))
wanted = net(batch).argmax(1)
def agreement(model):
    return float((model(batch).argmax(1) == wanted).float().mean())
def forever(model):
    import pathlib, time
    pathlib.Path(marker).touch()
    time.sleep(120)
"""


def shown(messages: list[dict[str, Any]]) -> list[str]:
    """Return the plain text of results and of the last state of each progress, in order."""
    texts: dict[Any, str] = {}
    for message in messages:
        content = message["content"]
        if message["msg_type"] in ("display_data", "update_display_data"):
            texts[content["transient"]["display_id"]] = content["data"]["text/plain"]
        elif message["msg_type"] == "execute_result":
            texts["result"] = content["data"]["text/plain"]
    return list(texts.values())


@pytest.fixture(scope="module")
def story(kernel: Any) -> Any:
    assert kernel.execute(SETUP)[0]["status"] == "ok"
    reply, messages = kernel.execute("%mlops capture net --inputs batch --name mlp")
    assert reply["status"] == "ok", reply
    progress, result = shown(messages)
    assert progress.startswith("capture net  done in ")
    assert result.startswith("mlp  sha256:")
    line = "%mlops quantize mlp --calibrate calibration --eval agreement --max-drop 0.5"
    reply, messages = kernel.execute(f"q = {line}\nq")
    assert reply["status"] == "ok", reply
    progress, result = shown(messages)
    assert progress.startswith("quantize mlp  done in ")
    assert "agreement" in result
    page = next(m["content"]["data"]["text/html"] for m in messages if m["msg_type"] == "execute_result")
    assert "<svg" in page
    assert "worst layers" in page
    return kernel


def test_compile_shows_its_check_and_gives_a_session(story: Any) -> None:
    reply, messages = story.execute("c = %mlops compile mlp:int8 --backend onnxruntime\nc")
    assert reply["status"] == "ok", reply
    assert "max abs error" in shown(messages)[-1]
    reply, messages = story.execute("tuple(c.session()(batch).shape)")
    assert shown(messages) == ["(8, 4)"]


def test_profile_runs_the_cell_with_a_session_and_names_its_lines(story: Any) -> None:
    reply, messages = story.execute(
        "%%mlops profile mlp:int8 --probes cpu --hz 999\n"
        "answers = session(batch)\n"
        "total = sum(i * i for i in range(3_000_000))"
    )
    assert reply["status"] == "ok", reply
    (result,) = shown(messages)
    assert "line 3 total = sum" in " ".join(result.split())
    assert shown(story.execute("len(answers)")[1]) == ["8"]


def test_an_error_of_the_profiled_cell_shows_once_and_at_its_line(story: Any) -> None:
    reply, messages = story.execute("%%mlops profile mlp:int8 --probes cpu\nx = 1\nx / 0")
    assert (reply["status"], reply["ename"]) == ("error", "ZeroDivisionError")
    (error,) = [m["content"] for m in messages if m["msg_type"] == "error"]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    assert "----> 3 x / 0" in plain
    assert "/workbench/" not in plain


def test_profile_without_a_cell_says_how(story: Any) -> None:
    reply, _ = story.execute("%mlops profile mlp:int8")
    assert reply["ename"] == "InputError"
    assert "write %%mlops profile mlp:int8 above the lines" in reply["evalue"]


def test_lineage_is_a_table_and_a_picture(story: Any) -> None:
    _, messages = story.execute("%mlops lineage mlp:int8")
    (data,) = [m["content"]["data"] for m in messages if m["msg_type"] == "execute_result"]
    rows = [line.split()[:3] for line in data["text/plain"].splitlines()]
    assert rows[(at := rows.index(["mlp:int8", "variant", "quantize"])) + 1] == ["mlp", "program", "capture"]
    assert ["model", "mlp"] in [row[:2] for row in rows[:at]], "first the answers, then the ancestors"
    assert "<svg" in data["text/html"]


def test_a_dry_run_is_the_recipe(story: Any) -> None:
    _, messages = story.execute("r = %mlops quantize mlp --dry-run\nr.recipe['steps'][0]['_type']")
    assert shown(messages) == ["'quantize_step'"]


def test_the_history_lists_what_ran(story: Any) -> None:
    (result,) = shown(story.execute("%mlops runs")[1])
    assert "quantize mlp" in result
    assert "capture mlp" in result


@pytest.mark.parametrize(
    ("line", "name", "message"),
    [
        ("%mlops compile mlp/nope", "UnknownArtifact", "did you mean mlp, "),
        ("%mlops quantize mlp --eval agrement", "MissingInput", "did you mean agreement?"),
        ("%mlops capture nett --inputs batch", "MissingInput", "did you mean net?"),
        ("%mlops capture absent.onnx", "MissingInput", "no file 'absent.onnx'"),
        ("%mlops quantize mlp --max-drop 0.1", "InputError", "give --eval FN"),
        ("%mlops promote mlp", "UnknownDeployment", "nothing named 'mlp' is deployed"),
        ("%mlops logs r0", "UnknownRun", "%mlops runs lists them"),
    ],
)
def test_a_failure_is_a_real_exception_in_three_lines(story: Any, line: str, name: str, message: str) -> None:
    reply, messages = story.execute(line)
    assert (reply["status"], reply["ename"]) == ("error", name)
    (error,) = [m["content"] for m in messages if m["msg_type"] == "error"]
    text = "\n".join(error["traceback"])
    assert message in text
    assert "  where: " in text
    assert "/workbench/" not in text


def test_a_failed_evaluation_raises_with_the_users_line(story: Any) -> None:
    story.execute("def broken(model):\n    return undefined_thing")
    reply, messages = story.execute("%mlops quantize mlp --eval broken")
    assert reply["ename"] == "EvaluationFailed"
    assert "undefined_thing" in reply["evalue"]
    assert shown(messages)[0].startswith("quantize mlp  failed in ")


def test_background_work_reports_under_its_own_cell(story: Any) -> None:
    msg_id = story.client.execute("b = %mlops quantize mlp --mode dynamic --name mlp:later --bg\nb")
    reply, messages = story.collect(msg_id)
    assert reply["status"] == "ok", reply
    display_id = next(
        m["content"]["transient"]["display_id"] for m in messages if m["msg_type"] == "display_data"
    )
    reply, messages = story.execute("row = b.wait(timeout_s=100)\nimport time; time.sleep(0.5)")
    assert reply["status"] == "ok", reply
    updates = [m["content"] for m in messages if m["msg_type"] == "update_display_data"]
    assert {u["transient"]["display_id"] for u in updates} == {display_id}
    assert updates[-1]["data"]["text/plain"].startswith("quantize mlp  done in ")
    assert not [m for m in messages if m["msg_type"] == "display_data"]


def test_interrupting_the_cell_cancels_the_step(story: Any, tmp_path: Any) -> None:
    marker = tmp_path / "evaluating"
    story.execute(f"marker = {str(marker)!r}")
    msg_id = story.client.execute("%mlops quantize mlp --mode dynamic --eval forever")
    deadline = time.monotonic() + 60
    while not marker.exists():
        assert time.monotonic() < deadline, "the evaluation never began"
        time.sleep(0.05)
    story.manager.interrupt_kernel()
    reply, messages = story.collect(msg_id)
    assert reply["ename"] == "KeyboardInterrupt"
    page = "\n".join(reply["traceback"])
    assert "goes on with it" in page  # %mlops resume RUN
    assert "workbench" not in page  # none of our frames
    assert shown(messages)[0].startswith("quantize mlp  cancelled in ")
    (state,) = shown(story.execute("from workbench.store import Store\nStore().runs.list(1)[0].state")[1])
    assert state == "'cancelled'"


def test_push_canary_promote_and_unstage(story: Any) -> None:
    assert story.execute("%mlops compile mlp --backend onnxruntime")[0]["status"] == "ok"
    assert story.execute("%mlops compile mlp:int8 --backend onnxruntime")[0]["status"] == "ok"
    reply, messages = story.execute("%mlops push mlp --to staging")
    try:
        assert reply["status"] == "ok", reply
        assert shown(messages)[0].startswith("push mlp  done in ")
        assert story.execute("%mlops push mlp:int8 --to staging --canary 10%")[0]["status"] == "ok"
        reply, messages = story.execute("%mlops status mlp")
        (data,) = [m["content"]["data"] for m in messages if m["msg_type"] == "execute_result"]
        assert "canary" in data["text/plain"]
        assert "10 %" in data["text/html"]
        assert story.complete("%mlops promote ml") == ["%mlops promote mlp"]
        assert story.execute("%mlops promote mlp")[0]["status"] == "ok"
        assert story.execute("%mlops rollback mlp")[0]["status"] == "ok"
    finally:
        reply, _ = story.execute("%mlops unstage mlp")
    assert reply["status"] == "ok", reply
    assert story.execute("%mlops status mlp")[0]["ename"] == "UnknownDeployment"
