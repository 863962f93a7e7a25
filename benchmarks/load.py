"""Closed-loop clients in a process of their own: ``python -m benchmarks.load PORT KEEP CLOSE SECONDS [REQUESTS]``.

`KEEP` clients keep their connections, `CLOSE` clients open one for each request. They end after so many seconds, or
when all together were answered so many requests. Prints one JSON object: requests answered, failed, the first
failures, and the times in nanoseconds at which the last answer of each version came.
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
import sys
import time
from array import array
from typing import Any

IP_BIND_ADDRESS_NO_PORT = 24  # the port is chosen when the connection is made, so that many may share it
KEEP = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Counts:
    """What all clients saw."""

    def __init__(self) -> None:
        self.answered = self.failed = self.errors = 0
        self.failures: list[str] = []
        self.last_ns: dict[str, int] = {}
        self.latencies_us = array("f")  # four bytes each: ten million fit


async def connect(port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect from an address, as a client on another machine has one of its own.

    From one address, what these clients close would hold every port of this machine for a minute, and a replica that
    starts meanwhile would get none.
    """
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise


async def client(port: int, source: str, keep: bool, until: float, most: float, counts: Counts) -> None:
    """Ask until the time is over, or everything was asked."""
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    while time.monotonic() < until and counts.answered < most:
        start = time.perf_counter()
        try:
            if reader is None or writer is None:
                reader, writer = await connect(port, source)
            writer.write(KEEP if keep else CLOSE)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
        except (OSError, EOFError) as error:
            counts.failed += 1
            counts.failures = [*counts.failures, repr(error)][:5]
            reader = writer = None
            continue
        counts.answered += 1
        counts.errors += head[9:12] != b"200"
        counts.latencies_us.append((time.perf_counter() - start) * 1e6)
        counts.last_ns[head.partition(b"x-version: ")[2][:1].decode()] = time.monotonic_ns()
        if b"connection: close" in head.lower():
            writer.close()
            reader = writer = None
    if writer is not None:
        writer.close()


async def run(port: int, keep: int, close: int, seconds: float, most: float = math.inf) -> dict[str, Any]:
    """Run all clients and return what they saw."""
    counts, until = Counts(), time.monotonic() + seconds
    kinds = [True] * keep + [False] * close
    sources = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(len(kinds))]
    await asyncio.gather(
        *(
            client(port, source, kind, until, most, counts)
            for source, kind in zip(sources, kinds, strict=True)
        )
    )
    ordered = sorted(counts.latencies_us)
    return {
        "answered": counts.answered,
        "failed": counts.failed,
        "errors": counts.errors,
        "failures": counts.failures,
        "last_ns": counts.last_ns,
        "p50_us": ordered[len(ordered) // 2] if ordered else 0.0,
    }


if __name__ == "__main__":
    _, port, keep, close, seconds, *most = sys.argv
    limits = (float(seconds), float(most[0]) if most else math.inf)
    print(json.dumps(asyncio.run(run(int(port), int(keep), int(close), *limits))))
