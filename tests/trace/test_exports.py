import gzip
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from tests.trace.made import MIB, full
from workbench.errors import InputError
from workbench.trace.exports import FORMATS, dump, format_of
from workbench.trace.exports.protobuf import integer
from workbench.trace.model import Trace

# The part of profile.proto that a reader needs: message -> field -> (number, type, repeated).
_SCHEMA = {
    "ValueType": {"type": (1, "int64", 0), "unit": (2, "int64", 0)},
    "Label": {"key": (1, "int64", 0), "str": (2, "int64", 0), "num": (3, "int64", 0)},
    "Sample": {"location_id": (1, "uint64", 1), "value": (2, "int64", 1), "label": (3, "Label", 1)},
    "Line": {"function_id": (1, "uint64", 0), "line": (2, "int64", 0)},
    "Location": {
        "id": (1, "uint64", 0), "mapping_id": (2, "uint64", 0), "address": (3, "uint64", 0), "line": (4, "Line", 1)
    },
    "Function": {
        "id": (1, "uint64", 0), "name": (2, "int64", 0), "system_name": (3, "int64", 0), "filename": (4, "int64", 0)
    },
    "Profile": {
        "sample_type": (1, "ValueType", 1), "sample": (2, "Sample", 1), "location": (4, "Location", 1),
        "function": (5, "Function", 1), "string_table": (6, "string", 1), "time_nanos": (9, "int64", 0),
        "duration_nanos": (10, "int64", 0), "period_type": (11, "ValueType", 0), "period": (12, "int64", 0),
        "comment": (13, "int64", 1), "default_sample_type": (14, "int64", 0),
    },
}  # fmt: skip


def _profile_class():
    field = descriptor_pb2.FieldDescriptorProto
    types = {"int64": field.TYPE_INT64, "uint64": field.TYPE_UINT64, "string": field.TYPE_STRING}
    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="p", syntax="proto3")
    for name, columns in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for column, (number, kind, repeated) in columns.items():
            made = message.field.add(name=column, number=number, label=3 if repeated else 1)
            made.type = types.get(kind, field.TYPE_MESSAGE)
            if kind not in types:
                made.type_name = f".p.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("p.Profile"))


@pytest.fixture(scope="module")
def profile():
    read = _profile_class()()
    read.ParseFromString(gzip.decompress(dump(full(), "pprof")))
    return read


def test_pprof_has_every_weight(profile):
    text = profile.string_table
    assert text[0] == ""
    kinds = [(text[kind.type], text[kind.unit]) for kind in profile.sample_type]
    assert kinds == [
        ("cpu", "nanoseconds"),
        ("delay", "nanoseconds"),
        ("page_faults", "count"),
        ("alloc_space", "bytes"),
        ("inuse_space", "bytes"),
    ]
    sums = [sum(sample.value[column] for sample in profile.sample) for column in range(len(kinds))]
    assert sums == [10**9, 1_060_000_000, 160, 512 * MIB, 10 * MIB]
    assert (profile.duration_nanos, profile.period) == (10**9, 10**7)
    assert text[profile.default_sample_type] == "cpu"


def test_pprof_stacks_are_leaf_first_and_refer_to_what_is_there(profile):
    functions = {function.id: function for function in profile.function}
    locations = {location.id: location for location in profile.location}
    assert 0 not in functions
    assert 0 not in locations

    def names(sample):
        lines = [locations[number].line[0] for number in sample.location_id]
        return [profile.string_table[functions[line.function_id].name] for line in lines]

    hot = max(profile.sample, key=lambda sample: sample.value[0])
    assert names(hot) == ["sgemm<float>", "forward", "In[3] line 2"]
    labels = {profile.string_table[label.str] for sample in profile.sample for label in sample.label}
    assert labels == {"python (7)", "sh <child> (8)"}


def test_pprof_needs_no_byte_that_the_schema_does_not_know(profile):
    assert profile.ByteSize() == len(gzip.decompress(dump(full(), "pprof")))


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_come_back(value):
    read = _PROFILE.FromString(integer(10, value))
    assert read.duration_nanos == value


_PROFILE = _profile_class()


def test_chrome_slices_nest_and_add_up():
    trace = json.loads(dump(full(), "chrome"))
    slices = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    tracks = {}
    for event in slices:
        tracks.setdefault((event["pid"], event["tid"]), []).append(event)
    for events in tracks.values():
        ordered = sorted(events, key=lambda event: (event["ts"], -event["dur"]))
        open_ends = []
        for event in ordered:
            while open_ends and open_ends[-1] <= event["ts"] + 1e-6:
                open_ends.pop()
            assert not open_ends or event["ts"] + event["dur"] <= open_ends[-1] + 1e-6
            open_ends.append(event["ts"] + event["dur"])
    cpu = [event for event in slices if event["cat"] == "cpu"]
    assert len(cpu) < 10  # neighbours with the same frames are one slice
    line = next(event for event in cpu if event["name"] == "In[3] line 2")
    assert line["dur"] == pytest.approx(590_000, rel=0.02)
    names = {event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    assert {"main 7 stacks", "main 7 calls", "worker 9 blocked"} <= names


def test_chrome_has_waits_calls_faults_and_audit():
    events = json.loads(dump(full(), "chrome"))["traceEvents"]
    wait = next(event for event in events if event.get("args", {}).get("waker at"))
    assert (wait["dur"], wait["args"]["woken by"], wait["args"]["waker at"]) == (
        50_000,
        "holder",
        "In[3] line 9",
    )
    assert sum(event.get("cat") == "torch" for event in events) == len(full().events)
    assert [event["args"]["faults"] for event in events if event["ph"] == "C"][-1] == 160
    assert any(event["ph"] == "i" and event["args"]["verdict"] == "denied" for event in events)


def test_collapsed_lines_are_text_every_tool_reads():
    lines = dump(full(), "collapsed").decode().splitlines()
    assert all(re.fullmatch(r"[^;]+(;[^;]+)* \d+", line) for line in lines)
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == 1000


def test_svg_is_a_file_of_its_own():
    root = ET.fromstring(dump(full(), "svg"))
    assert root.get("color") == "#111"


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_trace_exports(form):
    assert dump(Trace(full().meta), form)


def test_equal_traces_export_equal_bytes():
    for form in FORMATS:
        assert dump(full(), form) == dump(full(), form)


def test_a_format_nobody_has_is_refused():
    with pytest.raises(InputError, match="no format is called 'perf'"):
        dump(full(), "perf")
    with pytest.raises(InputError, match=r"x\.perf does not say which format it wants"):
        format_of(Path("x.perf"))


def test_tables_of_pandas():
    tables = full().to_pandas()
    assert set(tables) == {
        "samples", "waits", "calls", "faults", "delays", "offcpu", "allocations", "operators", "cuda", "events", "audit"
    }  # fmt: skip
    by_line = tables["samples"].query("kind == 'cpu'").groupby("line").value.sum()
    assert by_line.loc[2] == pytest.approx(0.6)
    assert tables["calls"].p99_ns.iloc[0] == 1500
    assert tables["audit"].query("verdict == 'denied'").target.tolist() == ["192.0.2.7:443"]
    assert tables["offcpu"].frames.iloc[1].endswith("futex_wait [libc.so.6]")
    assert list(tables["cuda"].columns) == [
        "family", "pid", "name", "count", "errors", "total_ns", "p50_ns", "p99_ns", "max_ns", "bytes"
    ]  # fmt: skip
