import xml.etree.ElementTree as ET
from dataclasses import replace

from tests.trace.made import KEEP, LAUNCH, SLOW, full
from workbench.trace import DifferenceReport
from workbench.trace.reports.difference import functions_difference, lines_difference
from workbench.trace.reports.flame import difference_svg
from workbench.trace.rows import Frame
from workbench.trace.tree import paired_tree

_NEW = Frame("python", "<module>", "In[8]", 6, 8, "only_after()")


def _after():
    """The same lines run again as cell 8: the model at a third of the time, the rest as before, one line new."""
    before = full()
    frames = [replace(f, cell=8, file="In[8]", line=f.line + 1) if f.cell else f for f in before.frames]
    model = [s for s in before.samples if s.stack == 0 and s.kind == "cpu"]
    kept = [s for s in before.samples if s not in model] + model[::3]
    new = [replace(s, stack=len(before.stacks)) for s in model[:5]]
    operators = before.operators[:1]
    return replace(
        before,
        frames=(*frames, _NEW),
        stacks=(*before.stacks, (0, len(frames))),
        samples=tuple(sorted([*kept, *new], key=lambda s: s.time_ns)),
        operators=operators,
        allocations=(),
    )


def test_a_line_is_the_same_when_its_text_is():
    rows = {row[1]: row for row in lines_difference(full(), _after()).rows}
    assert rows[SLOW.text][2:6] == [0.6, 0.2, -0.4, 0.333]
    assert rows[KEEP.text][2:6] == [0.3, 0.3, 0.0, 1.0]
    assert rows[KEEP.text][7] == -10.0
    assert rows["only_after()"][2:6] == [0.0, 0.05, 0.05, None]
    assert rows[SLOW.text][0] == "In[8] line 3"


def test_the_largest_change_comes_first():
    assert [row[1] for row in lines_difference(full(), _after()).rows[:2]] == [SLOW.text, "only_after()"]


def test_what_one_side_did_not_trace_is_empty():
    table = lines_difference(full(offcpu=None), _after())
    assert all(row[6] is None for row in table.rows)


def test_functions_by_their_own_time():
    rows = {row[0]: row[1:] for row in functions_difference(full(), _after()).rows}
    assert rows["sgemm<float> [libmkl.so]"] == [0.7, 0.3, -0.4, 0.429]


def test_a_trace_against_itself_has_no_change():
    assert {row[4] for row in lines_difference(full(), full()).rows} == {0.0}
    assert "hsl(6," not in difference_svg(full(), full()).replace('fill="hsl(6,85%,68%)"', "")


def test_the_tree_holds_both_sides():
    root = paired_tree(full(), _after())
    assert (round(root.before, 6), round(root.value, 6)) == (1.0, 0.65)
    for _, node in root.walk():
        children = node.children.values()
        assert sum(child.value for child in children) <= node.value + 1e-9
        assert sum(child.before for child in children) <= node.before + 1e-9


def test_the_picture_shows_what_is_in_one_side_only():
    space = "{http://www.w3.org/2000/svg}"
    svg = ET.fromstring(difference_svg(full(), _after()))
    tips = {title.text.splitlines()[0]: title.text for title in svg.iter(f"{space}title")}
    assert "600 ms → 200 ms (-67%)" in tips["In[8] line 3"]
    assert "0 ns → 50 ms (new)" in tips["In[8] line 6"]


def test_the_report_names_both_and_what_hampers_comparing():
    other = full()
    report = DifferenceReport(
        full(), replace(other, meta=replace(other.meta, tier="sampler")), ("fp32", "int8")
    )
    bundle = report._repr_mimebundle_()
    assert "fp32: 1 s of CPU time" in bundle["text/plain"]
    assert "different tiers" in bundle["text/plain"]
    for words in ("Change by line", "Change by function", "Change by operator", "Change by system call"):
        assert words in bundle["text/html"]
    assert "<script" not in bundle["text/html"]


def test_launching_frames_do_not_count_as_a_change():
    moved = [Frame("python", "other_launcher", "/x/site-packages/nbclient/x.py", 1)]
    after = replace(full(), frames=tuple(moved[0] if f == LAUNCH else f for f in full().frames))
    assert set(paired_tree(full(), after).children) == set(paired_tree(full(), full()).children)
