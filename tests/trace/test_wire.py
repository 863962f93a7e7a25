import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError
from workbench.trace import wire
from workbench.trace.latency import SLOTS

_u32, _u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


def _record(time_ns, pid, tid, weight, native, python):
    """A stack record as the kernel side lays it out."""
    body = struct.pack("<II", len(native), len(python))
    body += struct.pack(f"<{wire.NATIVE_FRAMES}Q", *native, *[0] * (wire.NATIVE_FRAMES - len(native)))
    body += b"".join(struct.pack("<QII", code, offset, 0) for code, offset in python)
    return struct.pack("<QIIIHBB", time_ns, pid, tid, weight, 24 + len(body), wire.RECORD_CPU, 1) + body


@given(
    st.lists(
        st.tuples(
            _u64, _u32, _u32, _u32, st.lists(_u64, max_size=24), st.lists(st.tuples(_u64, _u32), max_size=128)
        ),
        max_size=5,
    )
)
def test_records_come_back(rows):
    records = list(wire.parse_records(b"".join(_record(*row) for row in rows)))
    assert [(r.time_ns, r.pid, r.tid, r.weight, list(r.native), list(r.python)) for r in records] == rows


@given(
    st.lists(st.tuples(st.binary(min_size=8, max_size=8), st.binary(min_size=12, max_size=12)), max_size=50)
)
def test_tables_come_back(entries):
    message = wire.pack_table("calls", 8, 12, [key + value for key, value in entries])
    assert message[:1] == wire.TABLE
    assert wire.parse_table(message[1:]) == ("calls", entries)


def test_latency_layout():
    slots = list(range(SLOTS))
    latency, pid, tid = wire.parse_latency(struct.pack(f"<{4 + SLOTS}QII", 1, 2, 3, 4, *slots, 5, 6))
    assert (latency.count, latency.errors, latency.total_ns, latency.max_ns) == (1, 2, 3, 4)
    assert (list(latency.slots), pid, tid) == (slots, 5, 6)


@given(
    st.lists(st.text(max_size=9), max_size=4),
    st.integers(1, wire.MAX_HZ),
    st.integers(0, 2**31 - 1),
    st.one_of(st.just([]), st.tuples(st.integers(1, 2**62), *[st.integers(0, 2**19)] * 12)),
)
def test_requests_come_back(probes, hz, pid, python):
    request = wire.Request(tuple(probes), hz, pid, 0, tuple(python))
    assert wire.parse_request(request.to_bytes()) == request
    assert len(request.pack_python()) == wire.PYTHON_BYTES


@given(
    st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=6)
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_anything_else_is_refused(data):
    with pytest.raises(InputError):
        wire.parse_request(data)
