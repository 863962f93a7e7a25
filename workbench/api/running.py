"""Which process a user means: by number, by the run whose step it is, by the deployment it serves."""

from __future__ import annotations

from ..errors import InputError
from ..store import Store, owner


def process_of(store: Store, pid: int = 0, run: str = "", replica: str = "") -> int:
    """Return the process that exactly one of these names.

    Parameters
    ----------
    store
        Where runs and deployments are known.
    pid
        Its number.
    run
        A run's id: the process of its running step.
    replica
        A deployment's name: its first replica that lives; or ``name/replica id``.

    Raises
    ------
    InputError
        If none or several are given, or what is named does not run.
    UnknownRun, UnknownDeployment
        If there is no such run or deployment.
    """
    if sum(map(bool, (pid, run, replica))) != 1:
        raise InputError(
            "one process must be named", where="profile", fix="give one of --pid N, --run RUN, --replica NAME"
        )
    if run:
        return _step(store, run)
    return _replica(store, replica) if replica else pid


def _step(store: Store, run: str) -> int:
    steps = [
        step for step in store.runs.get(run).steps if step.state == "running" and owner.alive(step.owner)
    ]
    if not steps:
        raise InputError(
            f"no step of run {run} is running", where=run, fix="%mlops runs shows which runs go on"
        )
    return owner.pid_of(steps[0].owner)


def _replica(store: Store, text: str) -> int:
    from ..staging.status import status

    name, _, wanted = text.partition("/")
    found = [
        one
        for deployment in status(store, name)
        for track in deployment.tracks
        for one in track.replicas
        if one.pid and wanted in ("", one.id)
    ]
    if not found:
        raise InputError(f"no replica of {text} is running", where=name, fix=f"%mlops status {name}")
    return found[0].pid
