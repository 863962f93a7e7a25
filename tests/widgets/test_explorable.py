"""Lineage, curves, assembly and a staging watch: the data says everything, and a browser can explore it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.widgets.drive import drive
from tests.widgets.test_staging import reading, watched
from workbench import api
from workbench.errors import InputError
from workbench.render.lines import Axes
from workbench.render.listing import Listing
from workbench.route.state import Rollback
from workbench.staging import Watched
from workbench.staging.record import StagingEvent
from workbench.store import ArtifactDraft, Store
from workbench.widgets.assembly import MOST, assembly_view
from workbench.widgets.curves import curves
from workbench.widgets.lineage import lineage_view
from workbench.widgets.live import LiveView


def family(folder: Path) -> LiveView:
    """Return the lineage of a compiled variant of a program, with a name that looks like markup."""
    store = Store(folder)
    parent = ""
    for name, kind in (("m<b>", "program"), ("m:int8", "variant"), ("m:int8/ort", "compiled")):
        files = store.scratch()
        (files / "x").write_text(name)
        draft = ArtifactDraft(kind, files, parents=(parent,) if parent else (), metrics={"score": 0.97})
        parent = store.artifacts.put(draft)
        store.names.set("m" if kind == "program" else name, parent)
    view = lineage_view(api.lineage("m:int8/ort", store=store))
    store.close()
    return view


def test_the_lineage_carries_facts_of_every_artifact(tmp_path: Path) -> None:
    data = family(tmp_path).data
    assert [node["label"] for node in data["nodes"]] == ["m", "m:int8", "m:int8/ort"]
    assert [node["marked"] for node in data["nodes"]] == [False, False, True]
    assert ["score", "0.97"] in data["nodes"][1]["facts"]
    ids = [node["id"] for node in data["nodes"]]
    assert sorted(data["edges"]) == sorted([[ids[0], ids[1]], [ids[1], ids[2]]])


@pytest.mark.browser
def test_a_browser_folds_zooms_and_asks_about_a_lineage(tmp_path: Path) -> None:
    steps = """
    const boxes = () => all("g[data-node]").map(g => g.getAttribute("aria-label"));
    const picture = el.querySelector("svg"), box = () => picture.getAttribute("viewBox").split(" ").map(Number);
    said.all = boxes();
    said.facts = texts(".mlops-facts caption");
    click(all("g[data-node]").find(g => g.getAttribute("aria-label") === "m"));
    said.asked = texts(".mlops-facts caption");
    const whole = box();
    click(all("button")[0]);
    said.nearer = box()[2] < whole[2];
    picture.dispatchEvent(new PointerEvent("pointerdown", { clientX: 50, clientY: 50 }));
    picture.dispatchEvent(new PointerEvent("pointermove", { clientX: 20, clientY: 50 }));
    picture.dispatchEvent(new PointerEvent("pointerup", {}));
    said.moved = box()[0] > whole[0];
    picture.dispatchEvent(new KeyboardEvent("keydown", { key: "0" }));
    said.fitted = String(box()) === String(whole);
    click(all("g[data-fold]").find(g => g.parentNode.getAttribute("aria-label") === "m:int8"));
    said.folded = boxes();
    click(all("g[data-fold]").find(g => g.parentNode.getAttribute("aria-label") === "m:int8"));
    said.unfolded = boxes().length;
    """
    said = drive(family(tmp_path / "store"), steps, tmp_path)
    assert sorted(said["all"]) == ["m", "m:int8", "m:int8/ort"]
    assert (said["facts"], said["asked"]) == (["m:int8/ort"], ["m"])
    assert (said["nearer"], said["moved"], said["fitted"]) == (True, True, True)
    assert (sorted(said["folded"]), said["unfolded"]) == (["m:int8", "m:int8/ort"], 3)
    assert said["scripts"] == 0


def test_a_moment_of_a_watch_says_what_each_track_does() -> None:
    data = watched(reading(2.0), reading(3.0, rate=5.0))[-1].view().data
    (track,) = data["tracks"]
    assert (track["share"], track["alive"], track["jitter"], track["requests"]) == ("100 %", "1/1", 2.0, 5.0)
    charts = {measure: series for measure, _, series in data["charts"]}
    assert charts["jitter"] == {"stable": [[1, 1.0], [2, 2.0]]}
    assert charts["memory"]["stable"][-1] == [2, 50.0]
    assert charts["waits"] == {}


def test_what_happened_is_told_newest_first() -> None:
    status = reading(2.0).status
    events = (StagingEvent("pushed", "version 1 gets all", 10**18),)
    rollbacks = (Rollback(2, "sentinel", "latency", 10**18 + 1, 8, 1, 3),)
    (moment,) = watched(Watched(replace(status, events=events, rollbacks=rollbacks), {}))
    said = [row[1:] for row in moment.view().data["events"]]
    assert said == [
        ["version 2 rolled back by the sentinel: latency, 8 of the last 64 bad, budget 1 + 3", "rollback"],
        ["version 1 gets all", "event"],
    ]


@pytest.mark.browser
def test_a_browser_follows_a_watch_in_place(tmp_path: Path) -> None:
    moments = watched(reading(2.0), reading(3.0, rate=5.0), reading(9.0, rate=7.0))
    steps = """
    said.charts = texts(".mlops-chart b");
    el.querySelector("details").open = false;
    const next = structuredClone(data);
    next.phase = "rolled-back";
    next.tracks[0].p99 = 12; next.charts[0][2].stable.push([4, 12]);
    next.events.unshift(["12:00:00", "version 2 <b>rolled back", "rollback"]);
    await update(next);
    said.open = el.querySelector("details").open;
    said.cells = texts("tbody td");
    said.events = texts("li");
    said.newest = texts(".mlops-chart small")[1];
    const chart = el.querySelector(".mlops-chart svg"), area = chart.getBoundingClientRect();
    chart.dispatchEvent(new PointerEvent("pointermove", { clientX: area.left + 1, clientY: area.top + 5 }));
    said.hovered = texts(".mlops-chart small")[1];
    said.split = el.querySelector(".mlops-split").ariaLabel;
    """
    said = drive(moments[-1].view(), steps, tmp_path)
    assert said["charts"] == [
        "p99, ms",
        "p50, ms",
        "jitter, ms",
        "requests, per s",
        "errors, per s",
        "memory, MB",
    ]
    assert said["open"] is False  # what the reader folded stays folded
    assert said["cells"][:3] == ["100 %", "1/1", "12"]
    assert said["events"] == ["12:00:00 version 2 <b>rolled back"]
    assert (said["newest"], said["hovered"]) == ("stable 12", "stable 2")
    assert said["split"] == "traffic: stable 100 %"
    assert said["scripts"] == 0


@pytest.mark.filterwarnings("ignore")  # ipywidgets warns when no kernel runs
def test_a_watch_is_a_widget_too() -> None:
    first, second = watched(reading(2.0), reading(3.0))
    widget = first.view().widget()
    widget.data = dict(second.view().data)
    assert widget.data["charts"][0][2] == {"stable": [[1, 2.0], [2, 3.0]]}


def test_curves_without_a_point_are_refused() -> None:
    with pytest.raises(InputError, match="no point"):
        curves({"loss": []}, Axes("s", "loss"))


@pytest.mark.browser
def test_a_browser_reads_curves_off(tmp_path: Path) -> None:
    series = {
        "healed": [(0, 3.0), (1, 1.5)],
        "control": [(0, 2.0), (1, 1.0)],
    }
    steps = """
    said.lines = all("polyline").length;
    const picture = el.querySelector("svg"), area = picture.getBoundingClientRect();
    picture.dispatchEvent(new PointerEvent("pointermove", { clientX: area.right - 15, clientY: area.top + 20 }));
    said.read = texts("small")[0];
    click(all("button")[1]);
    said.one = all("polyline").length;
    click(el.querySelector(".mlops-axis"));
    said.axis = el.querySelector(".mlops-axis").textContent;
    """
    said = drive(curves(series, Axes("CPU s", "loss"), "held-out <b>loss"), steps, tmp_path)
    assert (said["lines"], said["one"], said["axis"]) == (2, 1, "logarithmic axis")
    assert said["read"] == "healed: 1.5 at 1   control: 1 at 1"
    assert said["scripts"] == 0


def test_a_long_function_is_cut_around_its_loop() -> None:
    listing = Listing("f", [f"{i:x}  nop" for i in range(4 * MOST)], range(3 * MOST, 3 * MOST + 4), 2)
    data = assembly_view(listing).data
    assert len(data["lines"]) == MOST
    assert [data["lines"][at] for at in data["marked"]] == [f"{3 * MOST + i:x}  nop" for i in range(4)]


@pytest.mark.browser
def test_a_browser_searches_assembly_and_follows_registers(tmp_path: Path) -> None:
    code = [f"{0x1000 + i:x}  {text}" for i, text in enumerate(["push rbp", *["nop"] * 20])]
    code += ["1015  vpdpbusd zmm1,zmm2,zmm3", "1016  vmovaps ymm1,ymm0", "1017  ret"]
    steps = """
    const rows = () => all("pre > span").length;
    said.near = rows();
    click(el.querySelector("button"));
    said.all = rows();
    const search = el.querySelector("input");
    search.value = "VPDP"; search.dispatchEvent(new Event("input"));
    said.found = el.querySelector(".mlops-found").textContent;
    all("[data-register]").find(one => one.textContent === "zmm1")
      .dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    said.same = all("[data-register]").filter(one => one.style.background).map(one => one.textContent);
    """
    said = drive(assembly_view(Listing("hot <b>loop", code, (21, 22), 1)), steps, tmp_path)
    assert (said["near"], said["all"], said["found"]) == (4, 24, "1 of 24 lines")
    assert said["same"] == ["zmm1", "ymm1"]  # one register, two widths
    assert said["scripts"] == 0
