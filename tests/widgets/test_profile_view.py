"""The live view of a profile: its data adds up, and in a real browser it zooms, searches and selects a time."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.trace.made import full
from tests.widgets.drive import drive
from workbench.trace import DifferenceReport, TraceReport
from workbench.trace.lanes import lanes
from workbench.trace.reports.explore import MAX_NODES, MAX_ROWS, difference_data, profile_data
from workbench.trace.rows import Sample
from workbench.widgets.live import MIME
from workbench.widgets.profile import difference_view, profile_view

LABELS = """const labels = () => texts("g[data-node] > title").map(text => text.split("\\n"));
const found = () => el.querySelector(".mlops-found").textContent;
"""


def sums(data: dict[str, Any], weight: str) -> float:
    return sum(row[2] for row in data["weights"][weight]["rows"])


def test_every_weight_adds_up() -> None:
    data = profile_data(full(), lanes(full()))
    assert sums(data, "cpu") == pytest.approx(1.0)
    assert sums(data, "offcpu") == pytest.approx(1.06)
    assert sums(data, "faults") == 160
    assert sums(data, "held") == 10 << 20
    assert all(parent < node for node, (parent, _) in enumerate(data["nodes"]))
    json.dumps(data, allow_nan=False)


def test_many_stacks_stay_small() -> None:
    count = 30_000
    line = full().frames[1]
    frames = tuple(replace(line, line=n, text="") for n in range(count))
    samples = tuple(Sample("cpu", n * 10_000, 7, 7, 0.001, n) for n in range(count))
    trace = full(frames=frames, stacks=tuple((n,) for n in range(count)), samples=samples, offcpu=None,
                 allocations=None, events=None, audit=None)  # fmt: skip
    data = profile_data(trace, lanes(trace))
    assert len(data["nodes"]) <= MAX_NODES
    assert len(data["weights"]["cpu"]["rows"]) <= MAX_ROWS + MAX_NODES
    assert sums(data, "cpu") == pytest.approx(count * 0.001)
    assert len(json.dumps(data)) < 400_000


def test_both_sides_of_a_comparison_add_up() -> None:
    other = full()
    after = replace(other, samples=tuple(s for s in other.samples if s.stack != 1))
    rows = difference_data(full(), after)["weights"]["cpu"]["rows"]
    assert sum(row[2] for row in rows) == pytest.approx(0.7)
    assert sum(row[3] for row in rows) == pytest.approx(1.0)


def test_without_a_script_it_is_the_report() -> None:
    report = TraceReport(full())
    bundle = profile_view(report).mimebundle()
    assert bundle["text/plain"] == report.text()
    assert bundle["text/html"] == report.html()
    assert bundle[MIME]["data"]["tables"][0]["title"] == "Cost by line"


@pytest.mark.browser
def test_a_browser_zooms_searches_and_selects(tmp_path: Path) -> None:
    steps = """
    said.start = labels();
    const input = el.querySelector("input");
    input.value = "sgemm"; input.dispatchEvent(new Event("input"));
    said.search = found();
    input.value = ""; input.dispatchEvent(new Event("input"));
    const box = [...el.querySelectorAll("g[data-node]")].find(g => g.textContent.startsWith("In[3] line 2"));
    box.dispatchEvent(new MouseEvent("click"));
    said.zoomed = labels();
    el.querySelector("button").click();
    const time = el.querySelectorAll("svg")[1], area = time.getBoundingClientRect();
    const at = (type, share) => time.dispatchEvent(new PointerEvent(type, {
      clientX: area.left + area.width * (92 + share * (960 - 92 - 62)) / 960, clientY: area.top + 40 }));
    at("pointerdown", 0.62); at("pointermove", 0.88); at("pointerup", 0.88);
    said.window = labels(); said.selected = found();
    el.querySelector("select").value = "held";
    el.querySelector("select").dispatchEvent(new Event("change"));
    said.held = found();
    el.querySelectorAll("th")[2].click(); said.first = el.querySelector("td").textContent;
    el.querySelectorAll("th")[2].click(); said.last = el.querySelector("td").textContent;
    """
    said = drive(profile_view(TraceReport(full())), LABELS + steps, tmp_path)
    assert ["In[3] line 2", "600 ms, 60.0 %", "y = model(x) # <b> & 'c'"] in said["start"]
    assert said["search"] == "70.0 % matches"
    assert [label for label, *_ in said["zoomed"]][:3] == ["all", "In[3] line 2", "forward (torch/nn.py:7)"]
    assert "In[3] line 4 keep" not in [label for label, *_ in said["zoomed"]]
    assert [label for label, *_ in said["window"]] == ["all", "In[3] line 4 keep"]
    assert re.fullmatch(r"2[5-9]\d ms of CPU time", said["selected"])
    assert said["held"] == "10 MiB of bytes still held"
    assert (said["first"], said["last"]) == ("In[3] line 2", "In[3] line 7")
    assert said["scripts"] == 0


@pytest.mark.browser
def test_a_browser_shows_both_sides_of_a_comparison(tmp_path: Path) -> None:
    other = full()
    after = replace(other, samples=tuple(s for s in other.samples if s.stack != 1))
    view = difference_view(DifferenceReport(full(), after))
    steps = "said.boxes = labels(); said.pictures = all('svg').length;"
    said = drive(view, LABELS + steps, tmp_path)
    assert ["In[3] line 4 keep", "300 ms → 0 ns", "kept.append(torch.empty(size))"] in said["boxes"]
    assert said["pictures"] == 1
