"""The magic in a real kernel: what it returns, shows and raises."""

from __future__ import annotations

from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError


def outputs_of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [m["content"] for m in messages if m["msg_type"] == kind]


def test_the_last_expression_shows_once(kernel: Any) -> None:
    reply, messages = kernel.execute("%mlops doctor")
    assert reply["status"] == "ok"
    (shown,) = outputs_of(messages, "execute_result")
    assert "python" in shown["data"]["text/plain"]
    assert "<script" not in shown["data"]["text/html"]
    assert outputs_of(messages, "display_data") == []


def test_an_assigned_result_is_not_shown(kernel: Any) -> None:
    _, messages = kernel.execute("x = %mlops doctor")
    assert outputs_of(messages, "execute_result") == []
    _, messages = kernel.execute("type(x).__name__")
    assert outputs_of(messages, "execute_result")[0]["data"]["text/plain"] == "'Examination'"


def test_the_question_mark_shows_the_parsers_help(kernel: Any) -> None:
    reply, _ = kernel.execute("%mlops?")
    (page,) = reply["payload"]
    assert "Take a model from a notebook cell" in page["data"]["text/plain"]
    assert "quantize a program" in page["data"]["text/plain"]


def test_help_is_printed(kernel: Any) -> None:
    reply, messages = kernel.execute("%mlops push --help")
    assert reply["status"] == "ok"
    assert "%mlops push minilm:int8 --to staging --canary 10%" in outputs_of(messages, "stream")[0]["text"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("%mlops nope", "no choice 'nope'"),
        ("%mlops push minilm --canary 200%", "200 is above 100"),
        ("%%mlops runs\n1 + 1", "runs runs no cell"),
    ],
)
def test_bad_syntax_is_one_usage_error(kernel: Any, code: str, message: str) -> None:
    reply, messages = kernel.execute(code)
    assert (reply["status"], reply["ename"]) == ("error", "UsageError")
    (line,) = outputs_of(messages, "stream")
    assert line["name"] == "stderr"
    assert message in line["text"]
    assert "Traceback" not in line["text"]


def test_bad_syntax_stops_a_notebook(notebook_run: Any) -> None:
    with pytest.raises(CellExecutionError, match="no choice 'nope'"):
        notebook_run("%mlops nope")


def test_variables_and_expressions_expand(kernel: Any) -> None:
    kernel.execute("command, n = 'doctor', 0")
    assert kernel.execute("%mlops $command")[0]["status"] == "ok"
    reply, _ = kernel.execute("%mlops runs --limit {n - 1}")
    assert "-1 is below 1" in reply["evalue"]


def test_unload_takes_everything_away_and_load_twice_leaves_one(kernel: Any) -> None:
    kernel.execute("from workbench.magics import load, unload; ip = get_ipython(); load(ip); load(ip)")
    count = "[m.matcher_identifier for m in ip.Completer.custom_matchers].count('mlops')"
    assert outputs_of(kernel.execute(count)[1], "execute_result")[0]["data"]["text/plain"] == "1"
    kernel.execute("unload(ip)")
    assert outputs_of(kernel.execute(count)[1], "execute_result")[0]["data"]["text/plain"] == "0"
    _, messages = kernel.execute("%mlops doctor")
    assert "not found" in outputs_of(messages, "stream")[0]["text"]
    kernel.execute("load(ip)")
