import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import TraceError
from workbench.trace.latency import SLOTS, Latency
from workbench.trace.model import Trace, TraceMeta
from workbench.trace.rows import (
    Allocation,
    AuditEvent,
    FaultCount,
    Frame,
    OffCpu,
    Operator,
    OperatorEvent,
    Sample,
    SystemCall,
    ThreadWaits,
)
from workbench.trace.storage import META_FILE, RECORDS_FILE

_META = TraceMeta(
    "bpf", ("x: y",), ("cpu",), 99, 1.5, 7, {"records": 2}, ("note",), {"7": "python"}, {"cpus": "2"}
)
_count = st.integers(0, 2**63)
_latency = st.builds(Latency, _count, _count, _count, _count, st.tuples(*[st.integers(0, 9)] * SLOTS))


def small_trace(**changes):
    frames = (Frame("python", "<module>", "In[3]", 2, 3, "x = 1"), Frame("native", "memcpy", "libc.so.6"))
    parts = {
        "meta": _META,
        "frames": frames,
        "stacks": ((0,), (0, 1)),
        "samples": (Sample("cpu", 1, 7, 7, 0.01, 1), Sample("fault", 2, 7, 8, 16.0, 0)),
        **changes,
    }
    return Trace(**parts)


@given(
    st.one_of(st.none(), st.lists(st.builds(ThreadWaits, _count, _count, st.text(), _latency), max_size=3)),
    st.one_of(st.none(), st.lists(st.builds(SystemCall, _count, st.text(), _latency), max_size=3)),
    st.one_of(st.none(), st.lists(st.builds(FaultCount, _count, _count), max_size=3)),
)
def test_a_trace_comes_back(tmp_path_factory, waits, calls, faults):
    rows = [None if part is None else tuple(part) for part in (waits, calls, faults)]
    written = small_trace(waits=rows[0], calls=rows[1], faults=rows[2])
    folder = tmp_path_factory.mktemp("trace")
    written.save(folder)
    assert Trace.load(folder) == written


_stack = st.sampled_from([0, 1])
_maybe = st.sampled_from([-1, 0, 1])
_operator = st.builds(Operator, st.text(), _count, st.text(), _latency, _count)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.lists(row, max_size=3).map(tuple)
            for name, row in {
                "offcpu": st.builds(
                    OffCpu, _count, _count, _count, _count, _stack, _count, _count, st.text(), _maybe
                ),
                "allocations": st.builds(
                    Allocation, st.text(), _count, _stack, _count, _count, _count, _count
                ),
                "operators": _operator,
                "cuda": _operator,
                "usdt": _operator,
                "events": st.builds(
                    OperatorEvent, st.text(), st.text(), _count, _count, _count, _count, _count, _maybe
                ),
                "audit": st.builds(
                    AuditEvent, _count, _count, _count, _count, st.text(), st.text(), _count, _count, _maybe
                ),
            }.items()
        },
    )
)
def test_every_kind_of_row_comes_back(tmp_path_factory, tables):
    folder = tmp_path_factory.mktemp("trace")
    written = small_trace(**tables)
    written.save(folder)
    assert Trace.load(folder) == written


@pytest.mark.parametrize(
    "tables",
    [
        {"offcpu": (OffCpu(1, 7, 7, 5, 2),)},
        {"offcpu": (OffCpu(1, 7, 7, 5, 0, 7, 8, "x", 2),)},
        {"allocations": (Allocation("c10", 7, -1, 1, 1, 1, 1),)},
        {"audit": (AuditEvent(1, 7, 7, 1, "open", "/etc", stack=9),)},
        {"events": (OperatorEvent("torch", "mm", 1, 2, 7, 7, 0, 9),)},
    ],
)
def test_a_row_whose_stack_is_not_there_is_refused(tmp_path, tables):
    small_trace(**tables).save(tmp_path)
    with pytest.raises(TraceError, match="a row refers to a stack that is not there"):
        Trace.load(tmp_path)


def test_equal_traces_have_equal_bytes(tmp_path):
    for name in ("a", "b"):
        small_trace().save(tmp_path / name)
    for file in (META_FILE, RECORDS_FILE):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_totals():
    assert (small_trace().total("cpu"), small_trace().total("fault")) == (0.01, 16.0)


@pytest.mark.parametrize("damage", ["missing", "short", "text", "reference", "unknown", "meta"])
def test_a_damaged_trace_is_refused(tmp_path, damage):
    small_trace().save(tmp_path)
    records, meta = tmp_path / RECORDS_FILE, tmp_path / META_FILE
    if damage == "missing":
        records.unlink()
    elif damage == "short":
        records.write_bytes(records.read_bytes()[:-20])
    elif damage == "text":
        records.write_bytes(b"not gzip")
    elif damage == "reference":
        records.write_bytes(gzip.compress(b'["stack",[5]]\n'))
    elif damage == "unknown":
        records.write_bytes(gzip.compress(b'["surprise",5]\n'))
    else:
        meta.write_text('{"_type":"trace_meta","_version":1}')
    with pytest.raises(TraceError, match="not a readable trace"):
        Trace.load(tmp_path)
