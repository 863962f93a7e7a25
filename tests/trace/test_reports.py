import re
import xml.etree.ElementTree as ET

from workbench.trace import TraceReport
from workbench.trace.attribution import NO_PYTHON, line_of
from workbench.trace.costs import costs
from workbench.trace.exports.collapsed import collapsed
from workbench.trace.latency import SLOTS, Latency
from workbench.trace.model import Trace, TraceMeta
from workbench.trace.reports.flame import flame_svg
from workbench.trace.reports.latencies import calls_table, histogram, waits_table
from workbench.trace.reports.lines import lines_table
from workbench.trace.rows import FaultCount, Frame, Sample, SystemCall, ThreadWaits
from workbench.trace.tree import tree

_LAUNCH = Frame("python", "run_cell", "/x/site-packages/IPython/shell.py", 9)
_CELL = Frame("python", "<module>", "In[3]", 2, 3, "y = model(x) # <b> & 'c'")
_OTHER = Frame("python", "<module>", "In[3]", 4, 3, "sleep()")
_LIBRARY = Frame("python", "forward", "/x/site-packages/torch/nn.py", 7)
_KERNEL = Frame("native", "sgemm<float>", "libmkl.so")
_LATENCY = Latency(4, 1, 4000, 1500, (0,) * 9 + (3, 1) + (0,) * (SLOTS - 11))


def _trace(tier="bpf", **changes):
    meta = TraceMeta(
        tier, ("bpf: no rights",), ("cpu", "sched", "faults", "syscalls"), 100, 2.0, 7, {"records": 3}
    )
    parts = {
        "frames": (_LAUNCH, _CELL, _OTHER, _LIBRARY, _KERNEL),
        "stacks": ((0, 1, 3, 4), (0, 2), (4,)),
        "samples": (
            *(Sample("cpu", n, 7, 7, 0.01, 0) for n in range(6)),
            *(Sample("cpu", n, 7, 7, 0.01, 1) for n in range(3)),
            Sample("cpu", 9, 8, 8, 0.01, 2),
            Sample("fault", 9, 7, 7, 16.0, 1),
        ),
        "waits": (ThreadWaits(7, 7, "main", _LATENCY), ThreadWaits(7, 9, "worker", _LATENCY)),
        "calls": (SystemCall(7, "read", _LATENCY), SystemCall(8, "read", _LATENCY)),
        "faults": (FaultCount(7, 17),),
    }
    return Trace(meta, **{**parts, **changes})


def test_a_stack_is_charged_to_the_innermost_cell_line():
    assert line_of([_LAUNCH, _CELL, _LIBRARY, _KERNEL]) == _CELL
    assert line_of([_LIBRARY, Frame("python", "mine", "/srv/mine/work.py", 3), _LIBRARY]).name == "mine"
    assert line_of([_KERNEL]) is NO_PYTHON


def test_costs_by_line():
    rows = [(cost.frame, round(cost.cpu_s, 6), cost.samples, cost.faults) for cost in costs(_trace())]
    assert rows == [(_CELL, 0.06, 6, 0), (_OTHER, 0.03, 3, 16.0), (NO_PYTHON, 0.01, 1, 0)]


def test_tables():
    text = lines_table(_trace()).text()
    assert re.search(r"In\[3\] line 2 +y = model\(x\).* 0\.06 +60\.0% +6 +– +0 +– +–", text)
    calls = calls_table(_trace()).text()
    assert re.search(r"read +8 +2 +0\.008", calls)
    waits = waits_table(_trace()).text()
    assert "main (7/7)" in waits
    assert "all threads" in waits
    bars = histogram(_LATENCY, "waits").text()
    assert "512 ns – 1.02 us" in bars
    assert "p50" in bars


def test_what_a_tier_cannot_see_is_a_dash():
    trace = _trace("sampler", waits=None, calls=None)
    assert calls_table(trace) is None
    assert waits_table(trace) is None
    assert lines_table(trace).text().splitlines()[2].rstrip().endswith("–")


def test_collapsed_stacks_start_at_the_cell():
    assert collapsed(_trace()).splitlines() == [
        "In[3] line 2;forward (torch/nn.py:7);sgemm<float> [libmkl.so] 60",
        "In[3] line 4 30",
        "process 8 [?];sgemm<float> [libmkl.so] 10",
    ]


def test_the_picture_is_plain_svg_that_adds_up():
    root = ET.fromstring(flame_svg(_trace()))  # well formed, so everything is escaped
    space = "{http://www.w3.org/2000/svg}"
    kinds = {element.tag.removeprefix(space) for element in root.iter()}
    assert kinds == {"svg", "g", "rect", "text", "title"}
    tips = [title.text for title in root.iter(f"{space}title")]
    assert any(tip.startswith("In[3] line 2\n60 ms, 60.0%\ny = model(x) # <b> & 'c'") for tip in tips)
    widths = [float(rect.get("width")) for rect in root.iterfind(f".//{space}g/{space}rect")]
    assert widths[0] == max(widths)
    whole = tree(_trace())
    assert abs(whole.value - sum(child.value for child in whole.children.values())) < 1e-9


def test_labels_fit_their_boxes():
    root = ET.fromstring(flame_svg(_trace()))
    space = "{http://www.w3.org/2000/svg}"
    for group in root.iter(f"{space}g"):
        width = float(group.find(f"{space}rect").get("width"))
        text = group.find(f"{space}text")
        assert text is None or len(text.text) * 7.2 <= width


def test_no_samples_is_still_a_picture():
    assert "no CPU samples" in flame_svg(_trace(samples=()))
    assert "0 samples" in TraceReport(_trace(samples=())).text()


def test_the_report_says_which_tier_ran_and_what_was_lost():
    bundle = TraceReport(_trace("perf"))._repr_mimebundle_()
    for line in ("tier perf", "better tier not used: bpf: no rights", "lost: 3 records", "17 page faults"):
        assert line in bundle["text/plain"]
        assert line in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
