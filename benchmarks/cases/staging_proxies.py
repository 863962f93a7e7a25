"""A canary's end in the kernel's route, in ours in user space, and in haproxy and nginx; needs root, BPF and both.

``decide``: somebody says that the canary must go; each way is told as its manual says (haproxy: ``set server state
drain`` on its socket; nginx: another configuration and ``reload``). ``fault``: the canary begins to answer with 500
and nobody says anything; haproxy observes answers (``error-limit 8 on-error mark-down``), nginx passes a request on and
counts failures (``max_fails=8``), ours compare the last 64 answers of both versions.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from workbench.route.kernel.machine import unavailable
from workbench.route.policy import Budget
from workbench.route.state import start_canary, swap

from ..harness import progress
from ..samples import Samples
from .staging import Rig, _asked, clients, finish

WAYS = ("kernel", "proxy", "haproxy", "nginx")
SECONDS, BEFORE_S = 4.0, 1.5
_PATH = os.environ.get("PATH", "") + ":/usr/sbin"

HAPROXY = """global
 stats socket {folder}/control mode 600 level admin
defaults
 mode http
 timeout connect 5s
 timeout client 30s
 timeout server 30s
frontend service
 bind 127.0.0.1:{port}
 default_backend versions
backend versions
 balance random
 http-reuse always
 server one 127.0.0.1:{one} weight 50
 server two 127.0.0.1:{two} weight 50 check inter 3600s observe layer7 error-limit 8 on-error mark-down
"""
NGINX = """pid {folder}/pid; error_log {folder}/log; worker_processes 1; daemon off;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 10000000;
upstream versions {{ server 127.0.0.1:{one}; {second} keepalive 64; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_http_version 1.1; proxy_set_header Connection "";
proxy_next_upstream error timeout http_500; proxy_pass http://versions; }} }} }}
"""


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 1 round when quick, else 3."""
    if reason := unavailable():
        raise RuntimeError(f"this benchmark needs the kernel's route: {reason}")
    lacking = [name for name in WAYS[2:] if shutil.which(name, path=_PATH) is None]
    if lacking:
        print(f"without {' and '.join(lacking)}: apt-get install haproxy nginx-light", file=sys.stderr)
    ways = [way for way in WAYS if way not in lacking]
    for number in progress(1 if quick else 3, "a decision and a fault, in each way"):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            for event in ("decide", "fault"):
                _measure(samples, way, event)


def _measure(samples: Samples, way: str, event: str) -> None:
    kind = way if way in ("kernel", "proxy") else "proxy"  # for haproxy and nginx it only starts replicas
    with Rig(kind) as rig, tempfile.TemporaryDirectory() as folder:
        stable, canary = rig.track(1), rig.track(2)
        ports = (stable.endpoints[0].port, canary.endpoints[0].port)
        if way == kind:
            rig.route.update(lambda now: swap(now, stable))
            rig.route.update(lambda now: start_canary(now, canary, 5_000, Budget(latency_ms=1e6)))
            _observe(samples, way, event, rig.port, canary.endpoints[0].pid, lambda: rig.route.update(_asked))
            return
        front = Front(way, Path(folder), ports)
        try:
            _observe(samples, way, event, front.port, canary.endpoints[0].pid, front.decide)
        finally:
            front.end()


def _observe(
    samples: Samples, way: str, event: str, port: int, pid: int, decide: Callable[[], object]
) -> None:
    process = clients(port, 16, 16, SECONDS)
    time.sleep(BEFORE_S)
    began_ns = time.monotonic_ns()
    if event == "decide":
        decide()
    else:
        os.kill(pid, signal.SIGUSR1)
    seen = finish(process)
    last_ms = (seen["last_ns"].get("2", began_ns) - began_ns) / 1e6
    samples.add(f"{event}.{way}.last_ms", max(last_ms, 0.0))
    samples.add(f"{event}.{way}.failed", seen["failed"])
    samples.add(f"{event}.{way}.errors", seen["errors"])
    samples.add(f"{event}.{way}.answered", seen["answered"])


class Front:
    """haproxy or nginx in front of two replicas."""

    def __init__(self, kind: str, folder: Path, ports: tuple[int, int]) -> None:
        self._kind, self._folder, self._ports = kind, folder, ports
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._write(both=True)
        program = str(shutil.which(kind, path=_PATH))
        more = (
            ["-f", f"{folder}/conf", "-db"]
            if kind == "haproxy"
            else ["-p", str(folder), "-c", f"{folder}/conf"]
        )
        self._process = subprocess.Popen([program, *more], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError(f"{kind} did not start")
            time.sleep(0.05)

    def decide(self) -> None:
        """Take the canary's traffic away as the manual says."""
        if self._kind == "nginx":
            self._write(both=False)
            self._process.send_signal(signal.SIGHUP)
            return
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(f"{self._folder}/control")
            line.sendall(b"set server versions/two state drain\n")
            line.recv(4096)

    def end(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(30)

    def _write(self, *, both: bool) -> None:
        one, two = self._ports
        second = f"server 127.0.0.1:{two} max_fails=8 fail_timeout=60s;" if both else ""
        text = HAPROXY if self._kind == "haproxy" else NGINX
        facts = {"folder": self._folder, "port": self.port, "one": one, "two": two, "second": second}
        (self._folder / "conf").write_text(text.format(**facts))
