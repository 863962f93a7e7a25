"""The router of a machine: one process that changes routes for every user, each user's own only."""

from __future__ import annotations

import os
from pathlib import Path

from ...bpf import capabilities
from ...bpf.service import Service
from ...bpf.sockets import dial, peer

RIGHTS = (capabilities.CAP_BPF, capabilities.CAP_PERFMON, capabilities.CAP_NET_ADMIN)
SOCKET = Path("/run/workbench/router.sock")
SOCKET_VARIABLE = "MLOPS_ROUTER"

ROUTER = Service(
    name="router",
    module="workbench.route.kernel.router",
    purpose="splits and rolls back the traffic of deployments for their owners",
    kept=RIGHTS,
    starting=("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_CHOWN"),
    families="AF_UNIX AF_INET AF_INET6 AF_NETLINK",
)


def socket_path() -> Path:
    """Return where the machine's router listens."""
    return Path(os.environ.get(SOCKET_VARIABLE) or SOCKET)


def router_pid(path: Path) -> int:
    """Return the process that listens there; 0 if none does."""
    try:
        with dial(str(path)) as sock:
            return peer(sock)[0]
    except OSError:
        return 0
