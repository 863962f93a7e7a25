import re

from tests.trace.made import full
from workbench.trace.reports.audit import audit_table
from workbench.trace.reports.blocked import blocked_table
from workbench.trace.reports.latencies import functions_table, histograms, of_durations
from workbench.trace.reports.leaks import leaks_table
from workbench.trace.reports.lines import lines_table
from workbench.trace.reports.report import TraceReport
from workbench.trace.rows import Allocation, AuditEvent

_TRACE = full()


def test_one_row_has_all_a_line_cost():
    table = lines_table(_TRACE)
    row = dict(zip(table.columns, table.rows[1], strict=True))
    assert row == {
        "line": "In[3] line 4",
        "source": "kept.append(torch.empty(size))",
        "cpu s": 0.3,
        "share": "30.0%",
        "samples": 30,
        "off-cpu s": 0.0,
        "faults ~": 160,
        "alloc MiB": 12.0,
        "held MiB": 10.0,
    }


def test_columns_are_always_there_and_empty_where_the_tier_cannot_see():
    bare = lines_table(full(offcpu=None, allocations=None))
    assert bare.columns == lines_table(_TRACE).columns
    assert all(row[5] is None and row[7] is None and row[8] is None for row in bare.rows)
    assert "tier bpf" in bare.note
    assert "not traced (off-CPU, allocations)" in bare.note


def test_a_lock_is_found_with_who_held_it():
    table = blocked_table(_TRACE)
    first = dict(zip(table.columns, table.rows[0], strict=True))
    assert first["line"] == "In[3] line 7"
    assert first["blocked s"] == 0.11
    assert first["times"] == 2
    assert first["woken by"] == "holder at In[3] line 9"
    assert [row[0] for row in table.rows] == ["In[3] line 7", "In[3] line 9", "zmq/poll.py:3"]


def test_only_what_is_still_held_is_a_leak():
    table = leaks_table(_TRACE)
    assert [row[:6] for row in table.rows] == [
        ["In[3] line 4", "kept.append(torch.empty(size))", 10.0, 10, 12.0, 12]
    ]
    assert table.note == "10 MiB of 512 MiB allocated were still held when the trace ended"


def test_stacks_of_several_processes_add_up():
    site = Allocation("c10", 8, 1, 5 << 20, 5, 5 << 20, 5)
    table = leaks_table(full(allocations=(*_TRACE.allocations, site)))
    assert table.rows[0][2:4] == [15.0, 15]


def test_what_breaks_the_policy_comes_first():
    table = audit_table(_TRACE)
    assert table.rows[0][:8] == [
        "denied", "connect", "192.0.2.7:443", 1, None, "EPERM", "no host <rule>", "In[3] line 4"
    ]  # fmt: skip
    assert table.rows[1][:4] == ["allowed", "open", "/etc/hostname", 2]
    assert "1 against the policy" in table.note


def test_thousands_of_opens_are_few_rows():
    opens = tuple(AuditEvent(n, 7, 7, 1, "open", f"/data/{n % 500}") for n in range(3000))
    table = audit_table(full(audit=opens))
    assert len(table.rows) == 20
    assert table.note == "3,000 events; no policy given; 480 more rows"
    assert table.rows[0][3] == 6


def test_functions_without_a_duration_have_no_percentiles():
    table = functions_table(_TRACE.cuda, "CUDA calls")
    assert table.rows == [["cuMemAlloc_v2", 20, 0.0, None, None, None, None, None, 20 << 20]]
    assert functions_table(None, "CUDA calls") is None


def test_histograms_name_their_percentiles():
    texts = [picture.text().splitlines()[0] for picture in histograms(_TRACE)]
    assert [text.partition(": ")[0] for text in texts] == [
        "Waits for a CPU", "Time blocked", "System call read", "Operator aten::addmm"
    ]  # fmt: skip
    assert re.search(r"p50 \d+.* p90 .* p99 .* max 900 ms", texts[1])


def test_durations_fall_into_powers_of_two():
    latency = of_durations([1, 2, 3, 1024, 5_000_000_000_000])
    assert (latency.slots[0], latency.slots[1], latency.slots[10], latency.slots[31]) == (1, 2, 1, 1)
    assert latency.max_ns == 5_000_000_000_000


def test_the_whole_report_has_every_part_and_no_script():
    bundle = TraceReport(_TRACE)._repr_mimebundle_()
    for words in ("Cost by line", "Time blocked", "Memory still held", "Audit", "Operators", "CUDA calls"):
        assert words in bundle["text/plain"]
        assert words in bundle["text/html"]
    assert bundle["text/html"].count("<svg") == 9
    assert "<script" not in bundle["text/html"]
    assert "<b> &" not in bundle["text/html"]
    assert "lost: nothing" in bundle["text/plain"]
