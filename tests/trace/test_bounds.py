"""What a trace and its reports hold is bounded, whatever the program did."""

import pytest

from workbench.trace import TraceReport
from workbench.trace.builder import MAX_DEPTH, MAX_FRAMES, MAX_STACKS, TraceBuilder
from workbench.trace.costs import costs
from workbench.trace.exports import dump
from workbench.trace.model import TraceMeta
from workbench.trace.rows import Frame
from workbench.trace.tree import tree
from workbench.widgets.profile import profile_view

_META = TraceMeta("bpf", (), ("cpu",), 999, 10.0, 7)
_LINES = [Frame("python", "<module>", "In[3]", n, 3, f"step({n})") for n in range(1, 5)]
_INNER = [Frame("native", f"kernel_{n}", "lib.so") for n in range(1000)]


@pytest.fixture(scope="module")
def million():
    """Give a trace of a million distinct stacks: two lines with 0.75 and 0.25 of them."""
    builder = TraceBuilder()
    for n in range(1_000_000):
        line = _LINES[0 if n % 4 else 1]
        stack = builder.stack((line, _INNER[n // 1000], _INNER[n % 1000]))
        builder.sample("cpu", n * 10_000, 7, 7, 1e-6, stack)
    return builder.finish(_META)


def test_a_million_stacks_are_cut_to_their_lines_and_said_to_be(million):
    assert len(million.stacks) <= MAX_STACKS + len(_LINES)
    assert "samples beyond 65,536 distinct stacks keep only their line" in million.meta.notes[0]
    rows = {cost.frame.line: cost for cost in costs(million)}
    assert rows[1].samples == 750_000
    assert rows[2].samples == 250_000
    assert million.total("cpu") == pytest.approx(1.0)


def test_reports_of_a_million_stacks_are_small(million):
    report = TraceReport(million)
    assert len(report.html()) < 500_000
    view = profile_view(report)
    assert sum(row[2] for row in view.data["weights"]["cpu"]["rows"]) == pytest.approx(1.0)
    assert len(str(view.data)) < 1_000_000
    root = tree(million)
    assert root.value == pytest.approx(1.0)
    assert {node.frame.line: round(node.value, 6) for node in root.children.values()} == {1: 0.75, 2: 0.25}


def test_exports_of_a_million_stacks_are_not_larger_than_the_trace(million):
    assert len(dump(million, "pprof")) < 4_000_000
    assert len(dump(million, "svg")) < 300_000


def test_too_many_functions_are_one():
    builder = TraceBuilder()
    for n in range(MAX_FRAMES + 500):
        builder.stack((Frame("python", f"generated_{n}", "made.py", n),))
    trace = builder.finish(_META)
    assert len(trace.frames) <= MAX_FRAMES + 1
    assert trace.frames[-1].name == "(more functions than are kept)"


def test_a_stack_without_end_is_cut():
    builder = TraceBuilder()
    number = builder.stack([Frame("python", f"deep_{n}", "a.py", n) for n in range(10_000)])
    assert len(builder.finish(_META).stacks[number]) == MAX_DEPTH
