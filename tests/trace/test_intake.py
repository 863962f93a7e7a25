"""What comes in is what comes out, in its order, however little of it is looked at when it comes."""

import os
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.trace import records
from workbench.trace.symbols.interpreter import find_interpreter
from workbench.trace.symbols.process import Symbols
from workbench.trace.tiers.intake import Intake

_HEAD = struct.Struct("<QIIIHBB")
_STACKS = (records.RECORD_CPU, records.RECORD_STACK)
_PID = os.getpid()


def _record(kind, time_ns, frames=(), native=(), stack=0):
    if kind not in _STACKS:
        body = bytes(24) if kind == records.RECORD_CALL else b""
        return _HEAD.pack(time_ns, _PID, 2, 3, _HEAD.size + len(body), kind, 0) + body
    body = struct.pack("<IIQQ", len(native), len(frames), stack, 0)
    body += struct.pack("<32Q", *native, *[0] * (32 - len(native)))
    body += b"".join(struct.pack("<QII", code, offset, 0) for code, offset in frames)
    return _HEAD.pack(time_ns, _PID, 2, 3, _HEAD.size + len(body), kind, 0) + body


@settings(max_examples=25, deadline=None)  # a new program is a look at its mappings
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from((*_STACKS, records.RECORD_CALL, records.RECORD_DELAY, records.RECORD_EXEC)),
                st.integers(0, 3),
            ),
            max_size=20,
        ),
        max_size=6,
    )
)
def test_every_record_comes_out(messages):
    symbols, number = Symbols(_PID, None), 0
    intake, sent = Intake(symbols, lambda _: None), []
    for rows in messages:
        data = b""
        for kind, which in rows:
            number += 1
            data += _record(kind, number, [(16 * which, which)] * which, [which] * which, number)
        intake.take(data)
        sent += records.parse_records(data)
    come = [resolved.record for resolved in intake.records()]
    kinds = {record.kind for record in sent} - {records.RECORD_STACK}
    for later in (True, False):
        assert [r for r in come if (r.kind in records.LATER) == later] == [
            r for r in sent if r.kind in kinds and (r.kind in records.LATER) == later
        ]
    assert {*symbols.stacks} == {r.stack for r in sent if r.kind == records.RECORD_STACK}
    symbols.close()


def test_a_sample_that_is_not_looked_at_has_its_names():
    interpreter, _ = find_interpreter(_PID)
    symbols, heard = Symbols(_PID, interpreter.layout), []
    intake = Intake(symbols, heard.append)
    codes = [_record.__code__, _names_of.__code__]
    data = b""
    for number in range(300):
        data += _record(records.RECORD_CPU, number, [(id(codes[number % 2]), 2), (id(_later.__code__), 4)])
    intake.take(data)
    assert len(heard) < 30
    assert _names_of(intake) == [(codes[number % 2].co_qualname, "_later") for number in range(300)]
    symbols.close()


def test_code_that_takes_another_place_has_its_own_names():
    interpreter, _ = find_interpreter(_PID)
    symbols = Symbols(_PID, interpreter.layout)
    intake = Intake(symbols, lambda _: None)
    frames = {"one": [(id(_record.__code__), 2)], "other": [(id(_names_of.__code__), 2)]}
    for name in ("one", "other", "one"):
        intake.take(_record(records.RECORD_CPU, 1, frames[name]))
        _later(intake)
    assert [name for (name,) in _names_of(intake)] == ["_record", "_names_of", "_record"]
    symbols.close()


def _names_of(intake):
    return [tuple(code.name for code, _ in resolved.python) for resolved in intake.records()]


def _later(intake):
    intake._began = 0.0
