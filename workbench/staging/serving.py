"""How the replicas of a version serve: what a push may choose, as options of the replica's command line."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .. import codec
from ..errors import StagingError


def socket_folder() -> Path:
    """Return this user's own folder for replicas' socket files: a store's path is often longer than a socket's may be.

    Raises
    ------
    StagingError
        If somebody else made it first.
    """
    folder = Path(tempfile.gettempdir()) / f"mlops-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StagingError(
            "the folder for socket files is not ours alone", where=str(folder), fix="remove it, or set TMPDIR"
        )
    return folder


@codec.register("serving")
@dataclass(frozen=True)
class Serving:
    """What every replica of a version is started with.

    Parameters
    ----------
    max_batch
        Rows that waiting requests may share a run in; 1 for no batches.
    grpc
        Whether each replica also answers gRPC, on a port of its own.
    memory_bytes, cpus, pids
        Limits of its control group; 0 for none.
    egress
        Networks that it may connect to, ``none`` for no connection at all; empty for no policy.
    shared_memory
        Clients of this machine may register shared memory objects whose key starts so; empty for none.
    local
        Whether each replica also answers clients of this machine on a socket file of its own.
    traces
        File to which replicas append sampled, refused and failed requests as OTLP spans; empty for none.
    """

    max_batch: int = 1
    grpc: bool = False
    memory_bytes: int = 0
    cpus: float = 0.0
    pids: int = 0
    egress: str = ""
    shared_memory: str = ""
    local: bool = False
    traces: str = ""

    def arguments(self, group: str, socket: Path | None = None) -> list[str]:
        """Return the options of the command line.

        Parameters
        ----------
        group
            Name of the replica's control group.
        socket
            Its socket file, where it is to have one.

        Examples
        --------
        >>> Serving(max_batch=8, memory_bytes=1 << 30).arguments("mlops/m-1")
        ['--max-batch', '8', '--control-group', 'mlops/m-1', '--memory-bytes', '1073741824']
        """
        options = ["--max-batch", str(self.max_batch)] if self.max_batch > 1 else []
        options += ["--grpc-port", "0"] if self.grpc else []
        options += ["--shared-memory", self.shared_memory] if self.shared_memory else []
        options += ["--local-socket", str(socket)] if socket else []
        options += ["--traces", self.traces] if self.traces else []
        limits = {"memory-bytes": str(self.memory_bytes), "cpus": f"{self.cpus:g}", "pids": str(self.pids)}
        limits["egress"] = self.egress or "0"
        given = [part for name, value in limits.items() if value != "0" for part in (f"--{name}", value)]
        return [*options, "--control-group", group, *given] if given else options
