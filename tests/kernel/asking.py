"""A collector as its clients see it: reached by hand, asked anything, looked at from outside."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from workbench.trace import wire

NEW_PIDS = ["unshare", "--pid", "--fork", "--propagation", "unchanged", "--mount-proc"]
"""A PID namespace with its own /proc; inside a chroot too, where / is no mount whose sharing can be changed."""


def status_of(pid):
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


def program_count(pid):
    """Programs and links the process holds open; the kernel frees both with the last holder."""
    count = 0
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(handle).startswith("anon_inode:bpf")
        except OSError:
            continue
    return count


def map_bytes(pid):
    """Kernel memory of every map a process holds, each once."""
    sizes = {}
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(handle) == "anon_inode:bpf-map":
            text = Path(f"/proc/{pid}/fdinfo/{handle.name}").read_text()
            fields = dict(re.findall(r"(\w+):\s+(\d+)", text))
            sizes[fields["map_id"]] = int(fields["memlock"])
    return sum(sizes.values())


def peak_bytes(pid):
    """The most resident memory a process has had."""
    return int(status_of(pid)["VmHWM"].split()[0]) * 1024


def holds(pid, file):
    """Whether a process holds a file open."""
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed while we looked
            if handle.readlink() == Path(file):
                return True
    return False


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def dial(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(path))
    sock.settimeout(20)
    return sock


def request(**changes):
    body = {"version": wire.VERSION, "probes": ["cpu"], "hz": 99}
    body |= {"pid": 0, "skip_tid": 0, "python": [], "sites": []}
    body.update({"watch": [], "enforce": None, "heap_sample": 0})
    body.update(changes)
    return json.dumps(body).encode()


def answer_of(sock):
    message = sock.recv(100_000)
    return json.loads(message[1:])


def as_nobody(script, environment):
    """Run a script as a user without rights; our own interpreter, which may lie where that user cannot look.

    So the new process gives up its rights itself, after Python has started and our modules are imported.
    """
    drop = (
        "import sys, os, numpy\nfrom workbench import trace\ntrace.session\n"
        "import workbench.trace.tiers.bpf, workbench.trace.tiers.perf, workbench.trace.tiers.sampler\n"
        "import workbench.trace.bcc.probe, workbench.trace.service\n"
        "from workbench.trace.client import private_pid\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        # A new user id makes the process undumpable, which closes /proc/self/mem; exec would undo it.
        "import ctypes; ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", drop + script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
