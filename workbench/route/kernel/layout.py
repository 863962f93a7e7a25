"""The maps of the route's programs as structures, field for field those of ``bpf/control.h``."""

from __future__ import annotations

import ctypes as c

TRACKS, PER_TRACK = 4, 64
REPLICAS = TRACKS * PER_TRACK
NO_TRACK = TRACKS
DRAIN_WORDS = 65_536
BUCKETS = 104

IDLE, ACTIVE, ROLLED_BACK = 0, 1, 2
REASONS = (
    "",
    "errors",
    "latency",
    "jitter",
    "memory",
    "syscall",
    "crash",
    "hang",
    "cuda_errors",
    "cuda_launches",
)
METRICS = ("errors", "latency", "jitter")

CONNECTOR = 2 * REPLICAS
"""Place of the connector's listener, after the replicas'."""

PAIRS, ENDS = 8_192, 1 + TRACKS
QUIET, ASKED, ANSWERED, REFUSED = 0, 1, 2, 3

GRPC = "/grpc"
"""After a replica's id, it names the listener for gRPC."""

LEAVE = 1
STABLE_WORD, CANARY_WORD = 1 << 8, 2 << 8

_COMMAND_BYTES = 16


class Audit(c.Structure):
    """Why and when the canary lost its traffic (times: CLOCK_MONOTONIC nanoseconds)."""

    _fields_ = (
        ("breach_ns", c.c_uint64),
        ("flip_ns", c.c_uint64),
        ("observed", c.c_uint64),
        ("stable", c.c_uint64),
        ("budget", c.c_uint64),
        ("reason", c.c_uint32),
        ("pid", c.c_uint32),
        ("command", c.c_char * _COMMAND_BYTES),
    )


class Control(c.Structure):
    """Everything the split and the sentinel go by."""

    _fields_ = (
        ("state", c.c_uint32),
        ("weight", c.c_uint32),
        ("ticket", c.c_uint32),
        ("turn", c.c_uint32),
        ("port", c.c_uint32),
        ("address4", c.c_uint8 * 4),
        ("address6", c.c_uint8 * 16),
        ("stable", c.c_uint32),
        ("canary", c.c_uint32),
        ("counts", c.c_uint32 * TRACKS),
        ("versions", c.c_uint32 * TRACKS),
        ("generation", c.c_uint32),
        ("breaches", c.c_uint32),
        ("latency_ns", c.c_uint64),
        ("jitter_ns", c.c_uint64),
        ("memory_pages", c.c_uint64),
        ("hang_ns", c.c_uint64),
        ("syscalls", c.c_uint64 * 8),
        ("windows", c.c_uint64 * 2 * len(METRICS)),
        ("overtaken", c.c_uint64),
        ("audit", Audit),
        ("grpc_port", c.c_uint32),
        ("by_request", c.c_uint32),
        ("cuda_errors", c.c_uint32),
        ("cuda_launches", c.c_uint32),
    )


class Replica(c.Structure):
    """One replica's counters and place."""

    _fields_ = (
        ("routed", c.c_uint64),
        ("connections", c.c_uint64),
        ("unread", c.c_uint64),
        ("in_flight", c.c_uint64),
        ("unread_since_ns", c.c_uint64),
        ("progress_ns", c.c_uint64),
        ("requests", c.c_uint64),
        ("errors", c.c_uint64),
        ("waited_ns", c.c_uint64),
        ("queued_since_ns", c.c_uint64),
        ("unread_waited_ns", c.c_uint64),
        ("progress_waited_ns", c.c_uint64),
        ("memory_pages", c.c_uint64),
        ("memory_base", c.c_uint64),
        ("word", c.c_uint32),
        ("pid", c.c_uint32),
        ("command", c.c_char * _COMMAND_BYTES),
    )


class Pair(c.Structure):
    """A client whose requests are split, and its sockets: ``bpf/requests.bpf.c``."""

    _fields_ = (
        ("open", c.c_uint32),
        ("slot", c.c_uint32),
        ("stable", c.c_uint32),
        ("phase", c.c_uint32),
        ("stuck", c.c_uint32),
        ("no_body", c.c_uint32),
        ("closes", c.c_uint32),
        ("lost", c.c_uint32),
        ("asked_left", c.c_uint64),
        ("answer_left", c.c_uint64),
        ("answered", c.c_uint64),
        ("asked", c.c_uint64 * TRACKS),
    )


class Tally(c.Structure):
    """What became of the requests that were told apart."""

    _fields_ = (
        ("requests", c.c_uint64),
        ("canary", c.c_uint64),
        ("stuck", c.c_uint64),
        ("refused", c.c_uint64),
    )


Pairs = Pair * PAIRS
Replicas = Replica * REPLICAS
Latencies = c.c_uint64 * BUCKETS * TRACKS
Drains = c.c_uint64 * DRAIN_WORDS


def drain_word(replica_id: str) -> int:
    """Return a replica's place among the drain words; ids of deployments that live together never meet.

    Parameters
    ----------
    replica_id
        ``<version>-<number>``.

    Examples
    --------
    >>> drain_word("3-1")
    193
    """
    version, _, number = replica_id.partition("-")
    return (int(version) * PER_TRACK + int(number) % PER_TRACK) % DRAIN_WORDS
