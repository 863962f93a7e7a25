"""A replica in miniature: a real HTTP/1.1 server process that says who it is, for tests of the route.

``python -m tests.route.small_replica READY_FILE VERSION [dual] [bad]`` answers every request with its version (and 500
if ``bad``); a path asks for something special: ``/fail`` (500), ``/slow?0.2`` (seconds), ``/large?N`` (bytes,
streamed), ``/chunked``, ``/early`` (dies within the answer's head), ``/echo`` (the body), ``/full`` (503),
``/burn?0.2`` (seconds of CPU), ``/unwanted`` (417 to who announces a body),
``/fork`` (a child does what ``/unshare`` does), ``/fault`` (a segmentation fault),
``/launch?N`` (N launches of the CUDA library that ``CUDA_STANDIN`` names), ``/cuda`` (a call of it that fails).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

CUDA = ctypes.CDLL(os.environ.get("CUDA_STANDIN"))  # without one: the process itself
UNSHARE = "import ctypes; ctypes.CDLL(None).unshare(0)"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    version = "0"
    bad = False
    kept: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        path, _, argument = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if path == "/slow":
            time.sleep(float(argument))
        if path == "/grow":  # MiB that stay
            self.kept.append(b"x" * (int(argument) << 20))
        if path == "/unshare":  # a system call that changes nothing and no replica makes
            ctypes.CDLL(None).unshare(0)
        if path == "/burn":
            until = time.thread_time() + float(argument)
            while time.thread_time() < until:
                pass
        if path == "/launch":
            for _ in range(int(argument)):
                CUDA.cuLaunchKernel(None, 1, 1, 1)
        if path == "/cuda":
            CUDA.cuMemcpyDtoH_v2(None, 0, 4)
        if path == "/fork":
            subprocess.run([sys.executable, "-S", "-c", UNSHARE], check=True)
        if path == "/fault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if path == "/early":
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-le")
            self.wfile.flush()
            os._exit(1)
        if path == "/chunked":
            self.chunked(int(argument or 3))
            return
        status = {"/fail": 500, "/full": 503}.get(path, 500 if self.bad else 200)
        if path == "/large":
            body = b"x" * int(argument)
        elif path != "/echo":
            seen = {name.lower(): value for name, value in self.headers.items()}
            body = json.dumps({"version": self.version, "method": self.command, "headers": seen}).encode()
        self.head(status, ("content-length", str(len(body))))
        if self.command != "HEAD":
            self.wfile.write(body)

    do_POST = do_HEAD = do_GET  # noqa: N815 - the names http.server looks for

    def head(self, status: int, framing: tuple[str, str]) -> None:
        self.send_response(status)
        self.send_header(*framing)
        self.send_header("x-mlops-version", self.version)
        self.send_header("x-mlops-track", "stable")
        self.end_headers()

    def chunked(self, pieces: int) -> None:
        self.head(200, ("transfer-encoding", "chunked"))
        for number in range(pieces):
            data = f"piece {number};".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def handle_expect_100(self) -> bool:
        if self.path == "/unwanted":  # answered before its body comes, which then never does
            self.head(417, ("content-length", "0"))
            self.wfile.flush()
            return False
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def log_message(self, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


def main() -> None:
    ready, Handler.version = Path(sys.argv[1]), sys.argv[2]
    Handler.bad = "bad" in sys.argv
    # Head and body are two writes; without this the second waits for the first one's acknowledgement.
    Handler.wbufsize = 65536
    if "dual" in sys.argv:  # an IPv6 socket that takes IPv4 too, as replicas behind the kernel's route have
        Server.address_family = socket.AF_INET6
    server = Server(("::ffff:127.0.0.1" if "dual" in sys.argv else "127.0.0.1", 0), Handler)
    part = ready.with_suffix(".part")
    part.write_text(json.dumps({"pid": os.getpid(), "port": server.server_address[1]}))
    part.rename(ready)
    server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
