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
_MANY = 1_000_000
_INNER = [Frame("native", f"kernel_{n}", "lib.so") for n in range(1000)]


@pytest.fixture(scope="module")
def many():
    """Give a trace of a million distinct stacks, more than are kept: two lines with 0.75 and 0.25 of them.

    A million through the kernel: ``tests/kernel/test_many_stacks.py``.
    """
    builder = TraceBuilder()
    for n in range(_MANY):
        line = _LINES[0 if n % 4 else 1]
        stack = builder.stack((line, _INNER[n // 1000], _INNER[n % 1000]))
        builder.sample("cpu", n * 10_000, 7, 7, 1 / _MANY, stack)
    return builder.finish(_META)


def test_more_stacks_than_are_kept_are_cut_to_their_lines_and_said_to_be(many):
    assert len(many.stacks) <= MAX_STACKS + len(_LINES)
    assert "samples beyond 65,536 distinct stacks keep only their line" in many.meta.notes[0]
    rows = {cost.frame.line: cost for cost in costs(many)}
    assert rows[1].samples == _MANY * 3 // 4
    assert rows[2].samples == _MANY // 4
    assert many.total("cpu") == pytest.approx(1.0)


def test_reports_of_many_stacks_are_small(many):
    report = TraceReport(many)
    assert len(report.html()) < 500_000
    view = profile_view(report)
    assert sum(row[2] for row in view.data["weights"]["cpu"]["rows"]) == pytest.approx(1.0)
    assert len(str(view.data)) < 1_000_000
    root = tree(many)
    assert root.value == pytest.approx(1.0)
    assert {node.frame.line: round(node.value, 6) for node in root.children.values()} == {1: 0.75, 2: 0.25}


def test_exports_of_many_stacks_are_not_larger_than_the_trace(many):
    assert len(dump(many, "pprof")) < 4_000_000
    assert len(dump(many, "svg")) < 300_000


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
