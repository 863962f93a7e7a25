"""One user's hour in front of the panel: shell runs, the quickstart notebook, a canary, a reload, themes, Chinese."""

from __future__ import annotations

from workbench.store import Store


def test_a_run_of_the_shell_shows_with_no_kernel(seat) -> None:
    store = Store(seat.lab.home)
    run_id = store.runs.create("{}", ["capture"], title="capture by hand")
    store.events.append(run_id, 0, "step.progress", {"message": "tracing", "fraction": 0.5})
    card = seat.page.locator(f"[data-run={run_id}]")
    card.wait_for()
    assert "capture by hand" in card.inner_text()
    store.runs.set_state(run_id, "done")
    store.events.append(run_id, -1, "run.done", {})
    seat.page.locator(f"[data-run={run_id}][data-state=done]").wait_for()
    seat.shot("first")
    assert seat.complaints == []
