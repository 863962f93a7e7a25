"""Packages on their way: which package a name means, registries, and the keys that sign and are trusted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..pipeline.launch import launch
from ..pipeline.naming import compiled_of, name_of
from ..pipeline.recipe import Recipe
from ..pipeline.result import Result
from ..pipeline.run import Run
from ..render.table import Table
from ..store import ArtifactName, Store

if TYPE_CHECKING:
    from ..package import Reference
    from ..pipeline.driving import Listener

_BARE = re.compile(r"https?://[^/]+/?")


def pull(
    reference: str,
    *,
    name: str = "",
    out: str = "",
    trust: Sequence[str] = (),
    store: Store | None = None,
    background: bool = False,
    on_event: Listener | None = None,
    dry_run: bool = False,
    executor: str = "local",
) -> Result | Run:
    """Fetch a package from a registry; what was interrupted goes on where it broke.

    Parameters
    ----------
    reference
        ``http://host:port/repository[:tag][@sha256:...]``.
    name
        What to call it; by default ``repository:tag/package``.
    out
        Unpack the model's files there instead of keeping the package in the store.
    trust
        With `out`: files of public keys; what none of them signed is refused.

    Raises
    ------
    InputError
        If `reference` is no place in a registry.
    RegistryError
        If there is no such package, or the registry stays away.
    CorruptArtifact
        If a byte is not what its digest says.
    UntrustedPackage
        If the store trusts keys and none of them signed it.
    """
    from ..package import Reference
    from ..pipeline.steps.pull import PullStep

    place = Reference.parse(reference)
    if out:
        return _fetch(place, Path(out), trust)
    base = place.repository.rpartition("/")[2]
    step = PullStep(reference, name or str(ArtifactName(base, variant=place.tag, backend="package")))
    return launch(
        store or Store(),
        Recipe((step,)),
        title=f"pull {reference}",
        background=background,
        dry_run=dry_run,
        on_event=on_event,
        executor=executor,
    )


def _fetch(place: Reference, out: Path, trust: Sequence[str]) -> Result:
    """Unpack a package from a registry into a folder, for machines that have no store."""
    from ..package import pull_layout, unpack
    from ..package.keys import read_public

    keys = [read_public(Path(path)) for path in trust]
    out.parent.mkdir(parents=True, exist_ok=True)
    work = out.with_name(f".{out.name}.pull")  # stays after a failure: the next call goes on there
    shutil.rmtree(work / "layout", ignore_errors=True)
    pull_layout(place, work / "layout", work / "partial")
    package = unpack(work / "layout", out, trusted=keys)
    shutil.rmtree(work)
    row = (package.name, len(package.files), package.digest[:19], str(out))
    return Result(f"pulled {place.oci}", (Table(("package", "files", "OCI manifest", "folder"), (row,)),))


def new_key(path: str) -> Result:
    """Make a key pair: the secret half in `path`, for its owner only, the public half in ``path.pub``.

    Raises
    ------
    InputError
        If one of the files is there already.
    MissingDependency
        Without the package cryptography.
    """
    from ..package import keys

    made = keys.new_key(Path(path))
    row = (path, f"{path}.pub", made.id[:12])
    table = Table(("secret key", "public key", "id"), (row,))
    return Result("new key", (table,), details={"key_id": made.id})


def trust_key(path: str, *, store: Store | None = None) -> Result:
    """Let a public key vouch for packages. From then on only signed packages are pulled and staged.

    Raises
    ------
    MissingInput, InputError
        If the file is not there or no public key.
    """
    from .. import atomic
    from ..package import keys

    store = store or Store()
    key = keys.read_public(Path(path))
    folder = store.home / keys.TRUST_FOLDER
    with atomic.disk_guard(folder):
        folder.mkdir(exist_ok=True)
    atomic.write_bytes(folder / f"{key.name}-{key.id[:12]}.pub", Path(path).read_bytes())
    return trusted_keys(store=store)


def trusted_keys(*, store: Store | None = None) -> Result:
    """Show whose packages are staged."""
    from ..package import keys

    store = store or Store()
    folder = store.home / keys.TRUST_FOLDER
    trusted = keys.read_trusted(folder)
    rows = tuple((key.name, key.id) for key in trusted)
    note = f"files in {folder}" if rows else "nothing has to be signed until a key is trusted"
    table = Table(("trusted key", "id"), rows, note=note)
    return Result("trusted keys", (table,), details={"keys": [key.id for key in trusted]}, store=store)


def package_of(store: Store, artifact: str, sign: str) -> tuple[str, list[Any]]:
    """Return what a name means as a package (``step:0`` when it is to be made), and the steps that make it.

    Raises
    ------
    UnknownArtifact
        If it is not there or was never compiled.
    InputError
        If a finished package is to be signed: a signature is made where the package is.
    """
    from ..package import keys
    from ..pipeline.steps.package import PackageStep

    digest = store.names.resolve(artifact)
    if store.artifacts.manifest(digest).kind == "package":
        if sign:
            raise InputError(
                f"{artifact} is a package already",
                where="--sign",
                fix="sign it where it is made: mlops push MODEL --sign KEY",
            )
        return digest, []
    label, key = str(name_of(store, artifact)), keys.read_signing(Path(sign)) if sign else None
    file, key_id = (str(Path(sign).absolute()), key.public.id) if key else ("", "")
    step = PackageStep(compiled_of(store, artifact), label, key=file, key_id=key_id)
    return "step:0", [step]


def publish_step(package: str, registry: str, label: ArtifactName) -> Any:
    """Return the step that sends a package to a registry, under the model's own name unless one is given."""
    from ..package import Reference
    from ..pipeline.steps.publish import PublishStep

    if _BARE.fullmatch(registry):
        registry = f"{registry.rstrip('/')}/{label.base.lower()}:{label.variant or 'latest'}"
    Reference.parse(registry)
    return PublishStep(package, registry)
