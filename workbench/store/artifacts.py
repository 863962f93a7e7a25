"""Immutable artifacts: a folder named by the digest of its manifest.

``put`` copies the files into blobs, builds the folder in scratch, syncs it, renames it into place and then
writes its row. Only the row makes an artifact exist, so a process killed anywhere leaves at most scratch and
an unlisted folder, which gc collects. Writers hold the store's lock shared and gc holds it alone, so gc never
sees a put half way.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import codec
from ..atomic import disk_guard, inside, sync_folder, write_bytes
from ..errors import CorruptArtifact, InputError, UnknownArtifact
from ..types import FileEntry, Manifest
from .blobs import hash_file, remove_tree, take_in
from .database import Database, exclusive, shared
from .draft import MANIFEST, ArtifactDraft, regular_files


@dataclass(frozen=True)
class ArtifactRow:
    """One line of a listing: digest, kind, size of all files, when it was put (Unix seconds)."""

    digest: str
    kind: str
    size_bytes: int
    created_s: float


class Artifacts:
    """The artifacts of a store."""

    def __init__(self, home: Path, database: Database, scratch: Callable[[], Path]) -> None:
        self._folder, self._blobs, self._lock = home / "artifacts", home / "blobs", home / "put.lock"
        self._database = database
        self._scratch = scratch
        for folder in (self._folder, self._blobs):
            folder.mkdir(exist_ok=True)

    def put(self, draft: ArtifactDraft, *, orphan: bool = False) -> str:
        """Store a draft and return its digest; the same content gives the same digest, stored once.

        With `orphan`, its parents need not be here (it comes from another store). When it returns, the artifact
        is whole: putting content that is there but went bad heals it.

        Raises
        ------
        StorageFull
            If the device is full; nothing was changed.
        UnsafePath
            If the folder holds a link or something that is no regular file.
        UnknownArtifact
            If a parent is not in the store.
        """
        for parent in () if orphan else draft.parents:
            self._require(parent)
        scratch = self._scratch()
        try:
            with shared(self._lock), disk_guard(self._folder):
                manifest = self._take_in(draft, scratch)
                text = codec.dumps(manifest).encode()
                digest = "sha256:" + hashlib.sha256(text).hexdigest()
                self._place(digest, manifest, text, scratch)
                self._record(digest, manifest)
                return digest
        finally:
            remove_tree(scratch)

    def exists(self, digest: str) -> bool:
        """Return whether the store has this artifact, whole as far as names and sizes of files tell."""
        try:
            self.path(digest)
        except (UnknownArtifact, CorruptArtifact):
            return False
        return True

    def manifest(self, digest: str) -> Manifest:
        """Return what an artifact is.

        Raises
        ------
        UnknownArtifact
            If there is no such artifact.
        CorruptArtifact
            If its manifest is missing or its bytes do not match the digest.
        """
        self._require(digest)
        path = self._of(digest) / MANIFEST
        try:
            text = path.read_bytes()
        except OSError as error:
            raise _corrupt("the manifest is missing", path) from error
        if hashlib.sha256(text).hexdigest() != _hex(digest):
            raise _corrupt("the manifest's bytes do not match its digest", path)
        manifest = codec.loads(text)
        if not isinstance(manifest, Manifest):
            raise _corrupt("the manifest is another record", path)
        return manifest

    def path(self, digest: str) -> Path:
        """Return the artifact's folder after checking that each file is there with its size.

        Raises
        ------
        UnknownArtifact
            If there is no such artifact.
        CorruptArtifact
            If a file is missing or was cut; :meth:`verify` also reads the bytes.
        """
        folder = self._of(digest)
        for entry in self.manifest(digest).files:
            path = inside(folder, entry.path)
            if not path.is_file() or path.stat().st_size != entry.size_bytes:
                raise _corrupt(f"{entry.path} is missing or has the wrong size", path, digest)
        return folder

    def verify(self, digest: str) -> None:
        """Read every byte of an artifact; a file that went bad leaves it, so that its step is not taken for done.

        The bad bytes stay among the blobs until the content is put again, or collected.

        Raises
        ------
        UnknownArtifact, CorruptArtifact
            As :meth:`path`, and if a file's bytes do not match their digest.
        """
        folder = self.path(digest)
        for entry in self.manifest(digest).files:
            if hash_file(folder / entry.path) != _hex(entry.digest):
                what = f"the bytes of {entry.path} do not match their digest"
                with contextlib.suppress(OSError):  # a store that may only be read
                    (folder / entry.path).unlink()
                raise _corrupt(what, folder / entry.path, digest)

    def list(self, kind: str | None = None) -> builtins.list[ArtifactRow]:
        """Return the artifacts, newest first, of one kind or of all."""
        where, values = ("WHERE kind = ?", (kind,)) if kind else ("", ())
        sql = f"SELECT * FROM artifacts {where} ORDER BY created_s DESC, digest"  # noqa: S608
        return [ArtifactRow(*row) for row in self._database.query(sql, values)]

    def remove(self, digest: str) -> None:
        """Delete an artifact that nothing refers to; gc decides that, most callers want gc.

        Raises
        ------
        InputError
            If a name, a run, another artifact or a deployment refers to it.
        """
        from .gc import referred

        self._require(digest)
        with exclusive(self._lock):
            if digest in referred(self._database):
                raise InputError(
                    "the artifact is in use", where=digest, fix="remove what refers to it, then run %mlops gc"
                )
            self.discard(digest)

    def discard(self, digest: str) -> None:
        """Forget an artifact's row and remove its folder, without asking who refers to it."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM artifacts WHERE digest = ?", (digest,))
            for table, column in (
                ("lineage", "child"),
                ("measurements", "digest"),
                ("name_history", "digest"),
                ("origins", "digest"),
            ):
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (digest,))  # noqa: S608
        remove_tree(self._of(digest))

    def _require(self, digest: str) -> None:
        if not self._database.query("SELECT 1 FROM artifacts WHERE digest = ?", (digest,)):
            raise UnknownArtifact(
                f"no artifact {digest}", where=digest, fix="%mlops show lists what there is"
            )

    def _of(self, digest: str) -> Path:
        return self._folder / _hex(digest)

    def _take_in(self, draft: ArtifactDraft, scratch: Path) -> Manifest:
        entries = []
        for path in regular_files(draft.files):
            relative, hexdigest = (
                path.relative_to(draft.files).as_posix(),
                take_in(path, self._blobs, scratch),
            )
            size = (self._blobs / hexdigest).stat().st_size
            entries.append(FileEntry(relative, f"sha256:{hexdigest}", size))
        sync_folder(self._blobs)
        values = {name: getattr(draft, name) for name in draft.__dataclass_fields__ if name != "files"}
        return Manifest(files=tuple(entries), **values)

    def _place(self, digest: str, manifest: Manifest, text: bytes, scratch: Path) -> None:
        target = self._of(digest)
        if target.exists():
            self._heal(target, manifest, text)
            return
        folder = scratch / "artifact"
        folder.mkdir()
        for entry in manifest.files:
            path = inside(folder, entry.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self._blobs / _hex(entry.digest), path)
        write_bytes(folder / MANIFEST, text, mode=0o444)
        for inner in [path for path in folder.rglob("*") if path.is_dir()]:
            sync_folder(inner)
        try:
            folder.rename(target)
        except OSError as error:  # another writer of the same content was faster
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        sync_folder(self._folder)

    def _heal(self, target: Path, manifest: Manifest, text: bytes) -> None:
        """Link good bytes over any file of a folder that went bad; a good file is left alone."""
        for entry in manifest.files:
            path, blob = target / entry.path, self._blobs / _hex(entry.digest)
            if not (path.is_file() and path.samefile(blob)):
                path.parent.mkdir(parents=True, exist_ok=True)
                fresh = path.with_name(f".{path.name}.{os.getpid()}")
                os.link(blob, fresh)
                fresh.replace(path)
        if not (target / MANIFEST).is_file() or (target / MANIFEST).read_bytes() != text:
            write_bytes(target / MANIFEST, text, mode=0o444)

    def _record(self, digest: str, manifest: Manifest) -> None:
        size = sum(entry.size_bytes for entry in manifest.files)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?)",
                (digest, manifest.kind, size, time.time()),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO lineage VALUES (?, ?)",
                [(digest, parent) for parent in manifest.parents],
            )


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _corrupt(what: str, path: Path, digest: str = "") -> CorruptArtifact:
    """Return the error; with `digest` where the manifest is whole and can tell how to come by the file again."""
    fix = "run the step that made it again: it heals the artifact"
    if digest:
        fix = f"%mlops show {digest[:19]} says which step made it: run that again, and it is whole"
    return CorruptArtifact(what, where=str(path), fix=fix)
