import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError
from workbench.trace import wire
from workbench.trace.latency import SLOTS
from workbench.trace.sites import Site


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
    st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40)), max_size=5),
)
def test_requests_come_back(probes, hz, pid, python, places):
    sites = tuple(
        Site("operators", "handle_operator", index, (offset,), (cookie,), (counter,))
        for index, (offset, cookie, counter) in enumerate(places)
    )
    request = wire.Request(tuple(probes), hz, pid, 0, tuple(python), sites)
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


@given(st.integers(0, 100), st.integers(0, 2 * wire.MAX_RULES), st.binary(max_size=80))
def test_rules_come_back_or_are_refused(start, total, rows):
    rules = wire.Rules(start, total, rows)
    count = len(rows) // wire.RULE_BYTES
    if count and len(rows) % wire.RULE_BYTES == 0 and start + count <= total <= wire.MAX_RULES:
        assert wire.parse_news(rules.to_bytes()) == rules
        return
    with pytest.raises(InputError):
        wire.parse_news(rules.to_bytes())


def test_a_process_that_joins_comes_back():
    joined = wire.Joined((Site("operators", "handle_operator", 0, (4096,), (7,)),))
    assert wire.parse_news(joined.to_bytes()) == joined
