"""A lock as text that other tools build from: requirements, and a Containerfile (Dockerfile)."""

from __future__ import annotations

from collections.abc import Mapping

from ..environment import EnvironmentLock

_OWN = "mlops-workbench=="


def requirements(lock: EnvironmentLock, contents: Mapping[str, str] | None = None) -> str:
    """Return the lock as a requirements file, with what each package was seen to hold as a comment.

    Examples
    --------
    >>> lock = EnvironmentLock("cpython 3.11.2", "linux x86_64", ("numpy==2.4.6",))
    >>> print(requirements(lock, {"numpy": "ab12"}).splitlines()[-1])
    numpy==2.4.6  # contents sha256:ab12
    """
    known = contents or {}
    lines = [f"# {lock.python}, {lock.platform}, {lock.digest}"]
    for line in lock.packages:
        seen = known.get(line.partition("==")[0], "")
        lines.append(line + (f"  # contents sha256:{seen}" if seen else ""))
    return "\n".join(lines) + "\n"


def containerfile(lock: EnvironmentLock, base: str = "") -> str:
    """Return a Containerfile that installs the lock, to be built beside ``requirements.txt``.

    Parameters
    ----------
    lock
        The environment.
    base
        Image below it; by default the official one of the same Python.

    Examples
    --------
    >>> print(containerfile(EnvironmentLock("cpython 3.11.2", "linux x86_64", ())).splitlines()[1])
    FROM docker.io/library/python:3.11.2-slim
    """
    python = lock.python.rpartition(" ")[2]
    own = next((line for line in lock.packages if line.startswith(_OWN)), "")
    note = f"# {own} must come from an index or a wheel beside this file" if own else "#"
    return f"""# Environment {lock.digest}; build: podman build -f Containerfile .
FROM {base or f"docker.io/library/python:{python}-slim"}
{note}
COPY requirements.txt /tmp/requirements.txt
RUN python -m pip install --no-deps --no-cache-dir -r /tmp/requirements.txt && rm /tmp/requirements.txt
ENV OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
LABEL mlops.environment="{lock.digest}"
USER 65532
ENTRYPOINT ["python"]
"""
