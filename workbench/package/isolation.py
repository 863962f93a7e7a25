"""What a step in a sandbox may use: part of a recipe, so that a resumed run keeps its limits."""

from __future__ import annotations

from dataclasses import dataclass

from .. import codec
from ..errors import InputError

SANDBOXES = ("runc", "image", "buildah")
"""What makes a sandbox: runc with this machine's folders, runc with an image of the environment, buildah with it."""


@codec.register("isolation")
@dataclass(frozen=True)
class Isolation:
    """What a step in a sandbox may use.

    Parameters
    ----------
    memory_bytes
        Of the step and its children together; beyond it the kernel kills.
    cpus
        CPU seconds in a second.
    pids
        Processes and threads.
    network
        Whether it sees the machine's network; otherwise it has not even a loopback to others.
    sandbox
        What makes it, one of :data:`SANDBOXES`.

    Raises
    ------
    InputError
        If nothing is called as `sandbox` says.
    """

    memory_bytes: int = 4 << 30
    cpus: float = 1.0
    pids: int = 512
    network: bool = False
    sandbox: str = "runc"

    def __post_init__(self) -> None:
        if self.sandbox not in SANDBOXES:
            raise InputError(
                f"no sandbox is called {self.sandbox!r}", where="--sandbox", fix=" or ".join(SANDBOXES)
            )
