"""No space left: a clear error, nothing lost, and everything works again when there is space."""

import os

import pytest

from workbench.errors import StorageFull
from workbench.store import ArtifactDraft, Store


def test_a_full_disk_loses_nothing(small_disk, tmp_path_factory):
    store = Store(small_disk / "home")
    folder = tmp_path_factory.mktemp("files")
    (folder / "small").write_bytes(os.urandom(100_000))
    kept = store.artifacts.put(ArtifactDraft("data", folder))
    store.names.set("kept", kept)
    (folder / "large").write_bytes(os.urandom(4_000_000))
    with pytest.raises(StorageFull, match="no space left") as caught:
        store.artifacts.put(ArtifactDraft("data", folder))
    assert "%mlops gc" in caught.value.fix
    store.artifacts.verify(store.names.resolve("kept"))
    assert [row.digest for row in store.artifacts.list()] == [kept]

    (folder / "large").unlink()
    (folder / "small").write_bytes(b"fits")
    store.artifacts.verify(store.artifacts.put(ArtifactDraft("data", folder)))
    store.close()


def fill(folder):
    """Fill the disk to the last byte, as a download in another program does."""
    filler = folder / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(os.urandom(65_536))
    return filler


def test_a_store_on_a_full_disk_is_listed_and_collected(small_disk, tmp_path_factory):
    store = Store(small_disk / "home")
    folder = tmp_path_factory.mktemp("files")
    (folder / "unused").write_bytes(os.urandom(100_000))
    store.artifacts.put(ArtifactDraft("data", folder))
    store.close()
    fill(small_disk)
    again = Store(small_disk / "home")  # with the last connection SQLite's own files were gone
    assert [row.kind for row in again.artifacts.list()] == ["data"]
    assert again.gc(grace_s=0).freed_bytes == 100_000
    again.close()
    assert again.home.joinpath("reserve").exists()  # for the next time


def test_a_full_disk_does_not_break_the_database(small_disk):
    store = Store(small_disk / "home")
    filler = fill(small_disk)
    with pytest.raises(StorageFull, match="cannot be written"):
        for _ in range(10_000):
            store.events.append("r", 0, "x", {"text": "y" * 1000})
    count = len(store.events.since(0, limit=100_000))
    filler.unlink()
    store.events.append("r", 0, "z")
    assert len(store.events.since(0, limit=100_000)) == count + 1
    store.close()
    assert Store(small_disk / "home").events.last() > 0
