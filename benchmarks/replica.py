"""A replica in miniature for measuring routes: ``python -m benchmarks.replica VERSION DRAIN_WORD``.

Prints its port, then answers every request at once with its version. It sends its clients away as real replicas do
(``workbench.serve.drain``). SIGUSR1 makes it answer with errors from then on.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

from workbench.serve.drain import Drain, Word

LINGER_S = 0.25


class Replica(asyncio.Protocol):
    """One connection; requests have no bodies."""

    version = b"0"
    drain = Drain()
    status = b"200 OK"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        leave = self.drain.active or b"\r\nConnection: close" in data
        close = b"connection: close\r\n" if leave else b""
        head = b"HTTP/1.1 %s\r\nx-version: %s\r\ncontent-length: 2\r\n%s\r\nok"
        self.transport.write(head % (self.status, self.version, close) * data.count(b"\r\n\r\n"))
        if leave:
            self.transport.close()


async def serve(listener: socket.socket) -> None:
    """Answer until SIGTERM, and a moment longer."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, setattr, Replica, "status", b"500 Internal Server Error")
    server = await loop.create_server(Replica, sock=listener, backlog=4096)
    print(listener.getsockname()[1], flush=True)
    await stop.wait()
    Replica.drain.begin()
    await asyncio.sleep(LINGER_S)
    server.close()


if __name__ == "__main__":
    Replica.version = sys.argv[1].encode()
    if len(sys.argv) > 2:
        Replica.drain = Drain(word=Word(sys.argv[2]))
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    one.listen(4096)
    asyncio.run(serve(one))
