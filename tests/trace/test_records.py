import struct

from hypothesis import given
from hypothesis import strategies as st

from workbench.trace import records

_u32, _u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
_HEAD = struct.Struct("<QIIIHBB")


def _record(time_ns, pid, tid, weight, native, python, stack, pointer):
    """A stack record as the kernel side lays it out."""
    body = struct.pack("<IIQQ", len(native), len(python), stack, pointer)
    body += struct.pack(f"<{records.NATIVE_FRAMES}Q", *native, *[0] * (records.NATIVE_FRAMES - len(native)))
    body += b"".join(struct.pack("<QII", code, offset, 0) for code, offset in python)
    return struct.pack("<QIIIHBB", time_ns, pid, tid, weight, 24 + len(body), records.RECORD_CPU, 1) + body


@given(
    st.lists(
        st.tuples(
            _u64,
            _u32,
            _u32,
            _u32,
            st.lists(_u64, max_size=records.NATIVE_FRAMES),
            st.lists(st.tuples(_u64, _u32), max_size=128),
            _u64,
            _u64,
        ),
        max_size=5,
    )
)
def test_records_come_back(rows):
    found = list(records.parse_records(b"".join(_record(*row) for row in rows)))
    assert [
        (r.time_ns, r.pid, r.tid, r.weight, list(r.native), list(r.python), r.stack, r.stack_pointer)
        for r in found
    ] == rows


def _other(kind, body):
    return _HEAD.pack(5, 7, 8, 3, _HEAD.size + len(body), kind, 0) + body


def test_bodies():
    data = _other(records.RECORD_OFFCPU, struct.pack("<3QII16s", 1, 2, 3, 4, 5, b"worker"))
    data += _other(
        records.RECORD_AUDIT, struct.pack("<QQiIiI256s", 1, 2, 13, 4, -100, 9, b"/etc/host?not this")
    )
    data += _other(records.RECORD_CALL, struct.pack("<3Q", 1, 2, 3))
    data += _other(records.RECORD_MEMORY, struct.pack("<5Q", 1, 2, 3, 4, 5))
    data += _other(records.RECORD_FORK, b"")
    assert [record.body for record in records.parse_records(data)] == [
        records.OffCpuBody(1, 2, 3, 4, 5, "worker"),
        records.AuditBody(1, 2, 13, 4, -100, b"/etc/host"),
        records.CallBody(1, 2, 3),
        records.MemoryBody(1, 2, 3, 4, 5),
        None,
    ]
    assert {(r.time_ns, r.pid, r.tid, r.weight) for r in records.parse_records(data)} == {(5, 7, 8, 3)}
