"""Stands between buildah and the OCI runtime: the container gets the sandbox's own configuration, in buildah's root.

Run as a file of its own, without the workbench: ``python -IS spliced.py CONFIG RUNTIME [option...] create ...``.
Buildah cannot be told of a read-only root, a bound on tasks or no-new-privileges, and what 1.28 calls no network still
has an interface with a route. What it adds is kept: the root it mounted, and its filter of system calls.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def splice(ours: Path, bundle: Path) -> None:
    """Put a configuration in place of the one in a bundle, but for its root and its filter."""
    place = bundle / "config.json"
    theirs, config = json.loads(place.read_bytes()), json.loads(ours.read_bytes())
    config["root"]["path"] = theirs["root"]["path"]
    if "seccomp" in theirs["linux"]:
        config["linux"]["seccomp"] = theirs["linux"]["seccomp"]
    place.write_text(json.dumps(config))


if __name__ == "__main__":
    own, runtime, *arguments = sys.argv[1:]
    splice(Path(own), Path(arguments[arguments.index("--bundle") + 1]))
    os.execv(runtime, [runtime, *arguments])  # noqa: S606 - a list, no shell
