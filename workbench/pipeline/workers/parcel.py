"""An artifact on its way to another store: its folder with the manifest, as a folder or as bytes.

Whoever takes one in believes nothing: the manifest must have the digest that was asked for, and each file the
digest that the manifest says.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
import tarfile
from pathlib import Path

from ... import codec
from ...atomic import disk_guard, inside
from ...errors import CorruptArtifact
from ...store import ArtifactDraft, Store
from ...store.blobs import remove_tree
from ...types import Manifest

MANIFEST = "manifest.json"


def export(store: Store, digest: str, folder: Path) -> None:
    """Fill a folder with an artifact's files and its manifest."""
    store.artifacts.verify(digest)
    with disk_guard(folder):
        shutil.copytree(
            store.artifacts.path(digest), folder, dirs_exist_ok=True, copy_function=shutil.copyfile
        )


def pack(store: Store, digest: str) -> bytes:
    """Return an artifact as bytes, the same every time."""
    store.artifacts.verify(digest)
    folder, buffer = store.artifacts.path(digest), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_plain)
    return buffer.getvalue()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out of a member what does not belong to the artifact: when and whose the file is."""
    member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode = 0, 0, 0, "", "", 0o644
    return member


def unpack(store: Store, digest: str, content: bytes) -> None:
    """Take an artifact's bytes into a store.

    Raises
    ------
    CorruptArtifact
        If they are not that artifact.
    UnsafePath
        If a name in them leaves its folder.
    """
    scratch = store.scratch()
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive, disk_guard(scratch):
            for member in archive:
                source = archive.extractfile(member)
                if not member.isfile() or source is None:
                    raise CorruptArtifact(f"{member.name} is no regular file", where=digest)
                path = inside(scratch, member.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    shutil.copyfileobj(source, file)
        adopt(store, scratch, digest)
    except tarfile.TarError as error:
        raise CorruptArtifact(f"its bytes cannot be read: {error}", where=digest) from error
    finally:
        remove_tree(scratch)


def adopt(store: Store, folder: Path, digest: str = "") -> str:
    """Take a folder that :func:`export` filled into a store, and return the artifact's digest.

    Raises
    ------
    CorruptArtifact
        If its files are not what its manifest says, or it is not the artifact of that digest.
    """
    try:
        manifest = codec.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"there is no artifact: {error}", where=str(folder)) from error
    if not isinstance(manifest, Manifest):
        raise CorruptArtifact("the manifest is another record", where=str(folder))
    files = store.scratch()
    try:
        for entry in manifest.files:
            source, target = inside(folder, entry.path), inside(files, entry.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with disk_guard(files):
                shutil.copyfile(source, target)
        fields = {
            one.name: getattr(manifest, one.name)
            for one in dataclasses.fields(manifest)
            if one.name != "files"
        }
        found = store.artifacts.put(ArtifactDraft(files=files, **fields), orphan=True)
    except OSError as error:
        raise CorruptArtifact(f"a file is missing: {error}", where=str(folder)) from error
    finally:
        remove_tree(files)
    if found != codec.digest(manifest) or (digest and found != digest):
        raise CorruptArtifact("the files are not those of the manifest", where=digest or found)
    return found
