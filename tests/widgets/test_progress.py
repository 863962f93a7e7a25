"""What a run's progress says, as text, as HTML and on a terminal."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.store import Event
from workbench.widgets.progress import TerminalProgress
from workbench.widgets.progress_state import ProgressState

SEQ = itertools.count(1)


def make_event(kind: str, at_s: float = 0.0, **payload: Any) -> Event:
    return Event(next(SEQ), "r1", -1 if kind.startswith("run.") else 0, kind, payload, at_s)


def folded(*events: Event) -> ProgressState:
    state = ProgressState("quantize minilm")
    for event in events:
        state.fold(event)
    return state


def test_a_running_step_shows_its_bar_and_message() -> None:
    state = folded(make_event("run.started"), make_event("step.progress", message="calibrate", fraction=0.25))
    assert state.text() == "quantize minilm  ██████░░░░░░░░░░░░░░░░░░  25 %  calibrate"
    assert "width:25%" in state.html()


def test_unknown_length_shows_words_only() -> None:
    state = folded(make_event("step.progress", message="export", fraction=None))
    assert state.text() == "quantize minilm  export"
    assert "width" not in state.html()


def test_a_step_of_another_verb_says_so() -> None:
    assert folded(make_event("step.started", verb="compile")).text() == "quantize minilm  compile"
    assert folded(make_event("step.started", verb="quantize")).text() == "quantize minilm  running"


def test_a_retry_is_said() -> None:
    assert folded(make_event("step.retried", attempt=1)).text() == "quantize minilm  attempt 2"


@pytest.mark.parametrize("outcome", ["done", "failed", "cancelled"])
def test_the_end_is_one_static_line(outcome: str) -> None:
    state = folded(
        make_event("run.started", 10.0),
        make_event("step.progress", 11.0, message="x", fraction=0.5),
        make_event(f"run.{outcome}", 12.5),
    )
    assert state.text() == f"quantize minilm  {outcome} in 2.5 s"
    assert state.html() == f"<div><code>quantize minilm</code> {outcome} in 2.5 s</div>"


def test_cached_is_said_only_when_every_step_was() -> None:
    hit, miss = make_event("step.done", cached=True), make_event("step.done", cached=False)
    assert folded(hit, make_event("run.done")).text().endswith("(cached)")
    assert not folded(hit, miss, make_event("run.done")).text().endswith("(cached)")


@given(st.text(max_size=30), st.floats(allow_nan=False) | st.none())
def test_no_message_breaks_out_of_the_html(message: str, fraction: float | None) -> None:
    state = folded(make_event("step.progress", message=f"<script>{message}", fraction=fraction))
    assert "<script" not in state.html()
    assert set(state.mimebundle()) == {"text/plain", "text/html"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_rewrites_one_line() -> None:
    screen = Terminal()
    progress = TerminalProgress("quantize minilm", screen)
    progress(make_event("step.progress", message="a", fraction=0.5))
    progress(make_event("run.done"))
    progress.close()
    text = screen.getvalue()
    assert text.startswith("\r\x1b[K")
    assert text.endswith("\r\x1b[Kquantize minilm  done in 0.0 s\n")
    assert text.count("\n") == 1


def test_an_unfinished_line_is_left_with_a_newline() -> None:
    screen = Terminal()
    progress = TerminalProgress("quantize minilm", screen)
    progress.open()
    progress.close()
    assert screen.getvalue().endswith("running\n")


def test_a_pipe_gets_the_last_line_only() -> None:
    stream = io.StringIO()
    progress = TerminalProgress("quantize minilm", stream)
    progress.open()
    progress(make_event("step.progress", message="a", fraction=0.5))
    progress(make_event("run.failed"))
    progress.close()
    assert stream.getvalue() == "quantize minilm  failed in 0.0 s\n"


def test_a_verb_of_two_runs_has_not_ended_after_the_first() -> None:
    stream = io.StringIO()
    progress = TerminalProgress("mirror flow", stream)
    for at, kind in enumerate(2 * ("run.started", "step.done", "run.done")):
        progress(make_event(kind, at))
    assert stream.getvalue() == "mirror flow  done in 2.0 s\nmirror flow  done in 5.0 s\n"


def test_a_curve_has_the_axes_of_its_own_event() -> None:
    curve = [[0, 2.0], [1, 1.5]]
    tuned = {
        "message": "tuning",
        "fraction": 0.1,
        "curve": curve,
        "axes": ["s", "ms a run"],
        "title": "tuning",
    }
    trained = {"message": "healing", "fraction": 0.5, "curve": curve}
    assert "ms a run" in folded(make_event("step.progress", **tuned)).html()
    after = folded(make_event("step.progress", **tuned), make_event("step.progress", **trained)).html()
    assert "held-out loss" in after
    assert "ms a run" not in after


def test_a_training_shows_its_curve_while_it_runs() -> None:
    state = folded(
        make_event("run.started"),
        make_event("step.progress", message="healing", fraction=0.5, curve=[[0, 2.0], [1, 1.5], [2, 1.0]]),
    )
    assert "<polyline" in state.html()
    assert "held-out loss" in state.html()
    state.fold(make_event("run.done"))
    assert "<polyline" not in state.html()  # the result draws it
