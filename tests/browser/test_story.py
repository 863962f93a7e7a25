"""One user's hour in front of the panel, in order: a shell's run, the quickstart notebook, a canary that goes
back, a reload, themes, Chinese. Each test leaves the page as the next one finds it.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import nbformat
import pytest

from workbench.store import Store

SLOW = """
import time, torch
def make():
    print("the factory began", flush=True)
    time.sleep(120)
batch = torch.zeros(1, 2)
"""
SECOND = """%load_ext workbench
from onnx import parser, save
TEXT = '<ir_version: 8, opset_import: ["": 17]> g (float[1,2] x) => (float[1,2] y) { y = Relu(x) }'
save(parser.parse_model(TEXT), "tiny.onnx")
---
%mlops capture tiny.onnx
---
%mlops lineage tiny
---
%mlops watch digits --for 3s --every 0.5s"""
LINEAGE_CELL, WATCH_CELL = 2, 3
PROFILE_CELL = 14
LAST_CELL = 20  # up to the canary and its 200 requests


@pytest.fixture(autouse=True)
def _no_complaints(seat: Any) -> Any:
    """Let no test pass while the browser's console has an error."""
    yield
    assert seat.complaints == []


def test_a_run_of_the_shell_shows_with_no_kernel_and_can_be_cancelled(seat: Any) -> None:
    (seat.lab.root / "slow.py").write_text(SLOW)
    line = "capture slow.py:make --inputs slow.py:batch --name slow --bg"
    assert seat.lab.shell(*line.split()).returncode == 0
    card = seat.page.locator(".mlops-Card[data-run]").first
    seat.page.locator(".mlops-Card[data-state=running]").wait_for()
    seat.widen()
    card.get_by_role("button", name="capture slow").click()
    seat.page.locator(".mlops-Log", has_text="the factory began").wait_for()
    seat.page.locator(".mlops-Footer code", has_text="%mlops logs r").wait_for()
    assert card.locator("code", has_text=f"%mlops {line}").count() == 1
    card.get_by_role("button", name="Cancel").click()
    seat.page.locator(".mlops-Card[data-state=cancelled]").wait_for()
    run_id = card.get_attribute("data-run")
    assert seat.page.locator(".mlops-Footer code").inner_text() == f"%mlops cancel {run_id}"
    assert Store(seat.lab.home).runs.get(run_id).state == "cancelled"
    card.get_by_role("button", name="capture slow").click()


@pytest.mark.timeout(900)  # a whole tutorial, on a machine that may be busy with other work
def test_the_panel_follows_the_quickstart_notebook(seat: Any) -> None:
    seat.notebook("01-quickstart.ipynb")
    seat.page.evaluate(
        "last => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = last + 1; }", LAST_CELL
    )
    seat.command("notebook:run-all-above")
    staging = seat.section("staging")
    staging.locator("[data-deployment=digits][data-phase=canary]").wait_for(timeout=600_000)
    seat.page.wait_for_function(  # the route's counters have seen the traffic of both tracks
        """() => [...document.querySelectorAll('.mlops-Tracks tbody tr')]
                   .filter(row => Number(row.cells[1].innerText) > 0).length === 2"""
    )
    refused = seat.page.locator(".mlops-Card[data-state=failed]", has_text="quantize digits")
    assert refused.count() == 1
    models = seat.section("models")
    assert models.locator("[data-name='digits:int8']", has_text="gate passed").count() == 1
    assert models.locator("[data-name=digits]", has_text="1 refused").count() == 1
    assert models.locator("[data-name='digits:int8/onnxruntime']").count() == 1


def test_a_view_is_drawn_by_the_module_of_the_package(seat: Any) -> None:
    page = seat.page
    page.evaluate(
        "index => { window.jupyterapp.shell.currentWidget.content.scrollToItem(index); }", PROFILE_CELL
    )
    view = page.locator(".jp-OutputArea-output.mlops-View")  # cells far from the window have no nodes
    view.locator("svg, canvas").first.wait_for()
    assert "traced" in view.first.inner_text()
    seat.shot("view-profile")


def test_a_card_leads_to_the_cell_that_started_it(seat: Any) -> None:
    card = seat.page.locator(".mlops-Card[data-run]", has_text="capture digits")
    card.get_by_role("button", name="Go to the cell").click()
    seat.page.locator(".jp-Cell.mlops-mod-found", has_text="%mlops capture net").wait_for()


def test_the_filter_leaves_the_runs_of_this_notebook(seat: Any) -> None:
    cards = seat.page.locator(".mlops-Card[data-run]")
    every = cards.count()
    seat.page.get_by_role("button", name="This notebook").click()
    seat.page.wait_for_function(
        f"() => document.querySelectorAll('.mlops-Card[data-run]').length === {every - 1}"
    )
    seat.page.locator(".mlops-Filter").get_by_role("button", name="All").click()
    seat.page.wait_for_function(
        f"() => document.querySelectorAll('.mlops-Card[data-run]').length === {every}"
    )


def test_a_click_on_a_model_inserts_what_comes_next(seat: Any) -> None:
    models = seat.section("models")  # the notebook draws a lineage with the same names
    models.get_by_role("button", name="digits:int8", exact=True).click()
    source = "() => window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource()"
    seat.page.wait_for_function(f"({source})() === '%mlops compile digits:int8'")
    seat.command("notebook:delete-cell")


def test_chosen_models_are_compared(seat: Any) -> None:
    models = seat.section("models")
    for name in ("digits", "digits:int8"):
        models.get_by_role("checkbox", name=f"Compare {name}", exact=True).check()
    comparison = models.get_by_role("group", name="Comparison")
    assert comparison.locator("tbody tr").count() == 2
    assert comparison.locator("code").inner_text() == "%mlops compare digits:int8 digits"
    assert comparison.locator("circle").count() == 2
    seat.shot("panel-light")
    for name in ("digits", "digits:int8"):
        models.get_by_role("checkbox", name=f"Compare {name}", exact=True).uncheck()


def test_a_profile_opens_in_a_tab(seat: Any) -> None:
    profiles = seat.section("profiles")
    profiles.get_by_role("button", name="Open the report").first.click()
    frame = seat.page.frame_locator(".jp-IFrame iframe")
    frame.locator("svg").first.wait_for()
    assert "traced" in frame.locator("body").inner_text()
    seat.page.locator(".mlops-Footer code", has_text="%mlops show digits:int8@profile").wait_for()
    seat.command("application:close")
    seat.page.locator(".jp-IFrame").wait_for(state="detached")


def test_two_kernels_at_once_and_each_run_knows_its_notebook(seat: Any) -> None:
    """The quickstart's kernel is busy all the while; runs of the other notebook show, filtered and not."""
    page = seat.page
    busy = """() => {
      const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
      sessionContext.session.kernel.requestExecute({ code: 'while True: __import__("time").sleep(0.1)' });
      return sessionContext.session.kernel.id;
    }"""
    first = page.evaluate(busy)
    write_notebook(seat.lab.root / "second.ipynb", SECOND)
    seat.notebook("second.ipynb")
    assert (
        page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.id") != first
    )
    seat.command("notebook:run-all-cells")
    mine = page.locator(".mlops-Card[data-run][data-state=done]", has_text="capture tiny")
    mine.wait_for()
    page.get_by_role("button", name="This notebook").click()
    page.wait_for_function("() => document.querySelectorAll('.mlops-Card[data-run]').length === 1")
    page.locator(".mlops-Filter").get_by_role("button", name="All").click()
    page.locator(".mlops-Card[data-run]", has_text="push digits:int8").wait_for()


def test_a_watch_and_a_lineage_are_live_in_their_cells(seat: Any) -> None:
    views = seat.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output.mlops-View")
    show = "index => { window.jupyterapp.shell.currentWidget.content.scrollToItem(index); }"
    seat.page.evaluate(show, LINEAGE_CELL)  # cells far from the window have no nodes
    views.locator("g[data-node]").first.wait_for()
    seat.page.evaluate(show, WATCH_CELL)
    views.locator(".mlops-chart").first.wait_for()
    views.locator(".mlops-split", has_text="stable 90 %").wait_for()
    seat.page.wait_for_function(
        """() => { const { content } = window.jupyterapp.shell.currentWidget;
                   return content.widgets.every(cell => cell.model.executionState !== 'running'); }"""
    )
    seat.shot("view-watch")


def test_a_finished_run_is_run_again_in_its_notebook(seat: Any) -> None:
    done = seat.page.locator(".mlops-Card[data-run][data-state=done]", has_text="capture tiny")
    done.get_by_role("button", name="Run it again in its notebook").click()
    done.nth(1).wait_for()
    assert done.count() == 2
    seat.page.locator(".mlops-Footer code", has_text="%mlops capture tiny.onnx").wait_for()


def test_a_kernel_that_is_gone_takes_nothing_along(seat: Any) -> None:
    before = seat.page.locator(".mlops-Card[data-run]").count()
    seat.page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }"
    )
    assert seat.lab.shell("runs", "--limit", "1", capture_output=True).returncode == 0
    assert seat.page.locator(".mlops-Card[data-run]").count() == before
    assert seat.page.locator(".mlops-Live").get_attribute("data-live") == "true"
    seat.notebook("01-quickstart.ipynb")
    seat.page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt(); }"
    )


def test_staging_shows_both_tracks_and_how_they_do(seat: Any) -> None:
    seat.page.locator("[data-section=runs] h2 button").click()
    card = seat.section("staging").locator("[data-deployment=digits]")
    card.locator("summary", has_text="Events").click()
    card.scroll_into_view_if_needed()
    assert card.locator(".mlops-Spark polyline").count() >= 8  # four measures of two tracks
    assert card.locator(".mlops-Split").get_attribute("aria-label") == "Traffic: stable 90 %, canary 10 %"
    seat.shot("panel-staging")
    seat.section("runs")


def test_nothing_is_lost_by_a_reload(seat: Any) -> None:
    before = seat.page.locator(".mlops-Card[data-run]").evaluate_all("all => all.map(one => one.dataset.run)")
    seat.open(query="")
    seat.page.locator(".mlops-Card[data-deployment=digits]").wait_for()
    seat.page.wait_for_function(
        f"() => document.querySelectorAll('.mlops-Card[data-run]').length === {len(before)}"
    )
    after = seat.page.locator(".mlops-Card[data-run]").evaluate_all("all => all.map(one => one.dataset.run)")
    assert after == before
    seat.page.locator(".mlops-Spark").first.wait_for()  # the readings are the server's, not the page's


def write_notebook(path: Path, cells: str) -> None:
    """Write a notebook; a line of three dashes ends a cell."""
    code = [nbformat.v4.new_code_cell(text) for text in cells.split("\n---\n")]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=code, metadata=spec), path)


def serious(page: Any) -> list[str]:
    """Return what axe finds serious or critical in the panel."""
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("async () => (await axe.run('#mlops-workbench')).violations")
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light", "JupyterLab Dark High Contrast"])
def test_it_reads_on_every_theme(seat: Any, theme: str) -> None:
    seat.section("system")
    seat.command("apputils:change-theme", theme=theme)
    seat.page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")
    seat.page.wait_for_function("() => !document.getAnimations().some(one => one instanceof CSSTransition)")
    seat.shot("theme-" + theme.removeprefix("JupyterLab ").lower().replace(" ", "-"))
    assert serious(seat.page) == []


def test_the_canary_is_rolled_back_after_a_question(seat: Any) -> None:
    seat.command("apputils:change-theme", theme="JupyterLab Light")
    card = seat.section("staging").locator("[data-deployment=digits]")
    card.get_by_role("button", name="Roll back").click()
    dialog = seat.page.locator(".jp-Dialog")
    assert "%mlops rollback digits" in dialog.inner_text()
    dialog.get_by_role("button", name="Roll back").click()
    seat.page.locator("[data-deployment=digits][data-phase=rolled-back]").wait_for()
    seat.page.locator(".mlops-Footer code", has_text="%mlops rollback digits").wait_for()
    card.locator("summary", has_text="Events").click()
    card.get_by_text("rolled back by the person").wait_for()
    seat.shot("panel-rolled-back")
    status = seat.lab.shell("status", "digits", capture_output=True)
    assert "rolled-back" in status.stdout


def test_the_panel_speaks_chinese(seat: Any) -> None:
    seat.page.evaluate(
        """() => window.jupyterapp.serviceManager.settings.save(
             '@jupyterlab/translation-extension:plugin', '{"locale": "zh_CN"}')"""
    )
    seat.open(query="")
    seat.page.get_by_role("button", name="运行").first.wait_for()
    seat.page.get_by_role("button", name="下线").wait_for()
    seat.page.locator(".mlops-Spark").first.wait_for()
    seat.shot("panel-chinese")
    assert serious(seat.page) == []


def test_a_deployment_ends_when_asked(seat: Any) -> None:
    seat.page.get_by_role("button", name="下线").click()
    seat.page.locator(".jp-Dialog").get_by_role("button", name="下线").click()
    seat.page.locator("[data-deployment=digits]").wait_for(state="detached")
    assert Store(seat.lab.home).deployments.list() == []


def test_notebook_7_has_the_panel_too(seat: Any) -> None:
    write_notebook(seat.lab.root / "seventh.ipynb", SECOND)
    seat.open("notebooks/seventh.ipynb", query="")
    cards = seat.page.locator(".mlops-Card[data-run]", has_text="capture tiny")
    before = cards.count()
    seat.kernel()
    seat.page.evaluate(
        "index => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index; }", WATCH_CELL
    )
    seat.command("notebook:run-all-above")
    cards.nth(before).wait_for()
    show = "index => { window.jupyterapp.shell.currentWidget.content.scrollToItem(index); }"
    seat.page.evaluate(show, LINEAGE_CELL)
    seat.page.locator(".jp-OutputArea-output.mlops-View g[data-node]").first.wait_for()
    assert seat.page.locator(".mlops-Live").get_attribute("data-live") == "true"
    seat.shot("notebook-7")
    assert serious(seat.page) == []
