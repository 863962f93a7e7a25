"""The environment an artifact was made in: look at it, write it down for others, build it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..atomic import write_bytes
from ..errors import InputError
from ..pipeline.locks import changes, contents_of, lock_of, note_contents
from ..pipeline.result import Result
from ..render.table import Table
from ..store import Store

if TYPE_CHECKING:
    from ..package.environment import EnvironmentLock

_SHORT = 12


def environment(artifact: str = "", *, store: Store | None = None) -> Result:
    """Show the environment an artifact was made in beside this one; without an artifact, this one.

    Returns
    -------
    Result
        ``.lock`` is the digest, ``.packages`` the ``name==version`` lines, ``.changes`` what differs from now.

    Raises
    ------
    UnknownArtifact
        If nothing has this name.
    InputError
        If its environment was never recorded in this store.
    """
    from ..package.environment import lock

    store = store or Store()
    now, wanted = lock(), _lock(store, artifact)
    note_contents(store)
    known = contents_of(store, wanted.digest)
    differing = {name: new for name, _, new in changes(wanted, now)}
    rows = []
    for line in wanted.packages:
        name, _, version = line.partition("==")
        rows.append((name, version, differing.get(name, version) or "–", known.get(name, "")[:_SHORT]))
    added = [(name, "–", new, "") for name, old, new in changes(wanted, now) if not old]
    table = Table(("package", "version", "now", "contents"), [*rows, *added])
    title = f"{wanted.python}, {wanted.platform}, {len(wanted.packages)} packages, {wanted.digest[:19]}"
    details = {
        "lock": wanted.digest,
        "packages": list(wanted.packages),
        "changes": [list(one) for one in changes(wanted, now)],
    }
    return Result(title, (table,), details=details, store=store)


def export_environment(
    artifact: str = "", *, to: str | Path, base: str = "", store: Store | None = None
) -> Result:
    """Write ``requirements.txt`` and a ``Containerfile`` of an artifact's environment into a folder.

    Parameters
    ----------
    artifact
        Any name or digest; without one, the environment of this process.
    to
        The folder; made when absent. Files of these names in it are replaced.
    base
        Image the Containerfile starts from; by default the official one of the same Python.

    Raises
    ------
    UnknownArtifact, InputError
        As :func:`environment`.
    """
    from ..package.environments import containerfile, requirements

    store = store or Store()
    wanted, folder = _lock(store, artifact), Path(to).expanduser()
    note_contents(store)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "requirements.txt": requirements(wanted, contents_of(store, wanted.digest)),
        "Containerfile": containerfile(wanted, base),
    }
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())
    files = [str(folder / name) for name in texts]
    return Result("wrote " + ", ".join(files), details={"files": files, "lock": wanted.digest})


def build_environment(
    artifact: str = "",
    *,
    to: str | Path,
    image: bool = False,
    packages: Sequence[str] = (),
    store: Store | None = None,
) -> Result:
    """Build an artifact's environment again: as a virtual environment, or with `image` as an OCI image layout.

    What this interpreter has in the locked version is linked or packed from here; a virtual environment gets the
    rest from pip, an image needs it all here. Nothing runs as a daemon. An image also holds the workbench, and the
    model when the artifact was packaged.

    Parameters
    ----------
    artifact
        Any name or digest; without one, the environment of this process.
    to
        A new folder.
    image
        Whether to write an image layout.
    packages
        Take only these and what they need.

    Returns
    -------
    Result
        ``.python`` of a virtual environment; ``.digest`` and ``.layers`` of an image.

    Raises
    ------
    UnknownArtifact, InputError
        As :func:`environment`; or if `to` is taken, or this Python is another one.
    PackageError
        If a package cannot be had in its version; names it.
    StorageFull
        If the device is full; nothing is left behind.
    """
    from ..package.environments import build_venv, closure, installed

    store = store or Store()
    wanted, out = _lock(store, artifact), Path(to).expanduser().absolute()
    only = closure(packages, installed()) if packages else None
    if image:
        return _image(store, artifact, wanted, out, only)
    report = build_venv(wanted, out, only=only)
    rows = (
        ("folder", str(report.folder)),
        ("packages linked from here", report.linked),
        ("packages from pip", report.fetched),
    )
    details = {"python": str(report.python), "linked": report.linked, "fetched": report.fetched}
    return Result(f"environment {wanted.digest[:19]}", (Table(("built", ""), rows),), details=details)


def _image(store: Store, artifact: str, wanted: EnvironmentLock, out: Path, only: set[str] | None) -> Result:
    from ..package.environments import build_image

    model = _package(store, artifact) if artifact else None
    report = build_image(
        out,
        lock=wanted,
        only=only,
        model=None if model is None else store.artifacts.path(model),
        own=Path(__file__).resolve().parents[1],
        name=artifact or "environment",
    )
    rows = [(label, size / 1e6) for label, size in report.layers]
    note = f"{report.packages} packages; " + (
        "with the model" if model else "without a model: none was packaged"
    )
    details = {
        "image": report.digest,
        "layers": [list(one) for one in report.layers],
        "model": model or "",
        "folder": str(out),
    }
    title = f"image {report.digest[:19]} in {out}"
    return Result(title, (Table(("layer", "MB"), rows, note=note),), details=details)


def _package(store: Store, artifact: str) -> str | None:
    """Return the package of an artifact, or the one made from it or from what was compiled from it last."""
    digest = store.names.resolve(artifact)
    if store.artifacts.manifest(digest).kind == "package":
        return digest
    for one in (digest, *store.children(digest, "compiled")):
        for package in store.children(one, "package"):
            return package
    return None


def _lock(store: Store, artifact: str) -> EnvironmentLock:
    from ..package.environment import lock

    if not artifact:
        return lock()
    digest = store.names.resolve(artifact)
    named = store.artifacts.manifest(digest).environment
    found = lock_of(store, named) if named else None
    if found is None:
        raise InputError(
            f"the environment of {artifact} was not recorded in this store",
            where=named or digest,
            fix="data has none; an artifact of an older workbench, or from elsewhere, has only its digest",
        )
    return found
