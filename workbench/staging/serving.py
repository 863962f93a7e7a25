"""How the replicas of a version serve: what a push may choose, as options of the replica's command line."""

from __future__ import annotations

from dataclasses import dataclass

from .. import codec


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
    """

    max_batch: int = 1
    grpc: bool = False
    memory_bytes: int = 0
    cpus: float = 0.0
    pids: int = 0
    egress: str = ""

    def arguments(self, group: str) -> list[str]:
        """Return the options of the command line; `group` names the replica's control group.

        Examples
        --------
        >>> Serving(max_batch=8, memory_bytes=1 << 30).arguments("mlops/m-1")
        ['--max-batch', '8', '--control-group', 'mlops/m-1', '--memory-bytes', '1073741824']
        """
        options = ["--max-batch", str(self.max_batch)] if self.max_batch > 1 else []
        options += ["--grpc-port", "0"] if self.grpc else []
        limits = {"memory-bytes": str(self.memory_bytes), "cpus": f"{self.cpus:g}", "pids": str(self.pids)}
        limits["egress"] = self.egress or "0"
        given = [part for name, value in limits.items() if value != "0" for part in (f"--{name}", value)]
        return [*options, "--control-group", group, *given] if given else options
