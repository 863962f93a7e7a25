"""A command inside an image, by buildah: the same sandbox as runc's own, in which the image is all there is.

::

    <image>/storage                 the image as buildah keeps it, read by every container and written by none
           /container               where buildah finds its container
    <the sandbox's private folder>  the container and the state of the runtime: gone with the folder

Nothing of a user's own buildah is read or written. Buildah lives in a mount namespace of its own, so that no mount
outlives it, however it ends; there the private folder is at ``container``, because overlayfs takes no colon in a path.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...atomic import disk_guard
from ...errors import InputError, MissingDependency, PackageError
from .. import layout as oci
from ..blobs import Limits, parse_document, read_blob, read_file
from ..isolation import Isolation
from ..layout import Descriptor
from ..staged import staged_folder
from . import spliced
from .sandbox import RUNTIMES, STATE, Place, Sandbox, check_place, program, rootless

_WHERE = "--sandbox buildah"
_ENTER = 'mount --bind "$0" "$1" && shift && exec "$@"'
_RUNTIME = """#!/bin/sh
# Buildah asks for the state ten times a second: only what makes the container is worth a Python.
case " $* " in *" create "*) exec {splice} {runtime} "$@" ;; esac
exec {runtime} "$@"
"""


@dataclass(frozen=True)
class Image:
    """An image made ready: the folder it is in, its id, and the digest of its manifest."""

    folder: Path
    id: str
    digest: str


def require() -> tuple[str, str]:
    """Return the paths of buildah and of the runtime it is to use.

    Raises
    ------
    MissingDependency
        If there is no buildah, or nothing it could run a container with.
    InputError
        If this process lives in a chroot, or is not root's.
    """
    found = program("buildah")
    if found is None:
        fix = "apt-get install buildah, or --sandbox image"
        raise MissingDependency("buildah is not installed", where=_WHERE, fix=fix)
    runtime = next(filter(None, map(program, RUNTIMES)), None)
    if runtime is None:
        what = f"buildah has no runtime to start a container with ({' or '.join(RUNTIMES)})"
        raise MissingDependency(what, where=_WHERE, fix="apt-get install runc")
    check_place()
    if rootless():
        raise InputError(
            "buildah mounts an image for root only",
            where=_WHERE,
            fix="--sandbox image: runc shows the same image in a user namespace",
        )
    return found, runtime


def image_of(layout: Path, folder: Path) -> Image:
    """Return an image as buildah keeps it in a folder, put there unless it is there.

    Parameters
    ----------
    layout
        The image.
    folder
        Where buildah keeps it; appears whole or not at all.

    Raises
    ------
    StorageFull
        If the device is full; nothing is left behind.
    PackageError
        If buildah does not take the image.
    MissingDependency, InputError
        As :func:`require`.
    """
    buildah, _ = require()
    if not folder.exists():
        with staged_folder(folder) as new:
            keep = [*_stores(buildah, new / "storage", new / "run"), "pull", "--quiet"]
            _ask(
                [*keep, f"oci:{layout.name}"], layout.parent
            )  # it makes a name of this: one folder, no capitals
            shutil.rmtree(new / "run")
            (new / "container").mkdir()
    return described(layout, folder)


def described(layout: Path, folder: Path) -> Image:
    """Return what a folder holds that was made from an image layout.

    Raises
    ------
    PackageError, CorruptArtifact
        If the layout is none.
    """
    index = parse_document(read_file(layout / "index.json", Limits()), where="index")
    top = Descriptor.of(index["manifests"][0], oci.MANIFEST, where="index")
    manifest = parse_document(read_blob(layout, top, Limits()), where="manifest")
    return Image(folder, manifest["config"]["digest"].removeprefix("sha256:"), top.digest)


class BuildahSandbox(Sandbox):
    """One container of an image, made ready; start it once.

    Parameters
    ----------
    folder
        A private folder for the container.
    command, environment, cwd, isolation, places
        As for any sandbox; of the machine's system it sees nothing.
    image
        The image.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        isolation: Isolation,
        places: Iterable[Place],
        image: Image,
    ) -> None:
        buildah, runtime = require()
        super().__init__(
            folder,
            command,
            environment=environment,
            cwd=cwd,
            isolation=isolation,
            places=places,
            root=folder / "root",
            runtime=runtime,
        )
        self._command = list(command)
        (folder / "tmp").mkdir()
        stand_in = folder / "runtime"
        stand_in.write_text(
            _RUNTIME.format(
                splice=shlex.join([sys.executable, "-IS", spliced.__file__, str(folder / "config.json")]),
                runtime=shlex.quote(runtime),
            )
        )
        stand_in.chmod(0o700)
        place = image.folder / "container"
        self._buildah = ["unshare", "--mount", "sh", "-c", _ENTER, str(folder), str(place)]
        self._buildah += _stores(buildah, place / "storage", place / "run")
        self._buildah += ["--storage-opt", f"overlay.imagestore={image.folder / 'storage'}"]
        with disk_guard(folder):
            self._container = _ask([*self._buildah, "from", "--pull-never", image.id], folder)
        self.made_by = f"buildah with {Path(runtime).name}, image {image.digest}"

    def start(self, **options: Any) -> subprocess.Popen[bytes]:
        """Start it; `options` as for :class:`subprocess.Popen`."""
        run = [*self._buildah, "run", "--isolation", "oci", "--runtime", str(self._folder / "runtime")]
        run += ["--runtime-flag", f"root={self._folder / STATE}"]
        run += ["--network", "host", "--pid", "host", "--no-hosts", self._container, "--", *self._command]
        environment = {**os.environ, "TMPDIR": str(self._folder / "tmp")}
        return subprocess.Popen(run, env=environment, **options)


def _stores(buildah: str, storage: Path, run: Path) -> list[str]:
    return [buildah, "--root", str(storage), "--runroot", str(run), "--storage-driver", "overlay"]


def _ask(command: list[str], folder: Path) -> str:
    """Run buildah in a folder and return what it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        return done.stdout.strip()
    said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    if "no space left on device" in done.stderr:
        raise OSError(errno.ENOSPC, said)
    raise PackageError(
        f"buildah did not make the container: {said}",
        where=_WHERE,
        fix="--sandbox image (runc with the same image), or ask `buildah info` about the storage",
    )
