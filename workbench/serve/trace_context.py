"""Who asked, along a chain of services: W3C trace context (``traceparent``) and a request id.

https://www.w3.org/TR/trace-context/ version 00::

    traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
                 version  trace-id (never zero)        parent-id     flags, bit 0: sampled

A header that does not have this form is as none: the trace starts here. What is logged carries OpenTelemetry's
names, so that a collector joins a replica's lines with the spans of whoever asked.
"""

from __future__ import annotations

import os
import random
import re
from dataclasses import dataclass

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_ID = re.compile(r"[\x21-\x7e]{1,128}")

# Ids must differ, not be secret; the system's own source costs tens of microseconds a call on some machines.
_RANDOM = random.Random(os.urandom(32))  # noqa: S311


@dataclass(frozen=True)
class TraceContext:
    """One request's place in a trace.

    Parameters
    ----------
    trace_id, span_id
        Lower case hex; `span_id` is this replica's own part.
    parent_id
        The caller's span; empty when the trace starts here.
    sampled
        Whether the caller records this trace.
    request_id
        What the caller calls the request, else made here.
    """

    trace_id: str
    span_id: str
    parent_id: str
    sampled: bool
    request_id: str

    @classmethod
    def of(cls, traceparent: str, request_id: str) -> TraceContext:
        """Continue the trace of a ``traceparent`` header, or start one.

        Examples
        --------
        >>> found = TraceContext.of("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", "r-1")
        >>> found.trace_id == "ab" * 16, found.parent_id == "cd" * 8, found.sampled, found.request_id
        (True, True, True, 'r-1')
        >>> TraceContext.of("nonsense", "").parent_id
        ''
        """
        own = f"{_RANDOM.getrandbits(192) | 1 << 191 | 1:048x}"  # neither id is ever zero
        request_id = request_id if _ID.fullmatch(request_id) else own[:32]
        match = _FORM.fullmatch(traceparent)
        # A later version may add fields behind the flags; version ff and ids of zeros are not valid.
        if match and match[1] != "ff" and not (match[1] == "00" and match[5]):
            trace_id, parent_id = match[2], match[3]
            if trace_id.strip("0") and parent_id.strip("0"):
                return cls(trace_id, own[32:], parent_id, bool(int(match[4], 16) & 1), request_id)
        return cls(own[:32], own[32:], "", False, request_id)

    @property
    def traceparent(self) -> str:
        """The header for whatever this replica would ask next, and for its caller to read."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def facts(self) -> dict[str, str]:
        """Return the fields of a log line."""
        facts = {"trace_id": self.trace_id, "span_id": self.span_id, "request_id": self.request_id}
        return facts | ({"parent_span_id": self.parent_id} if self.parent_id else {})
