"""Artifacts: same content same digest, never changed, damage found and healed."""

import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import CorruptArtifact, InputError, UnknownArtifact, UnsafePath
from workbench.store import ArtifactDraft, Store
from workbench.types import Signature, TensorSpec


def test_what_was_put_is_what_the_manifest_says(store, put):
    parent = put({"p.txt": "parent"})
    signature = Signature((TensorSpec("x", "float32", ("batch", 2)),), ())
    digest = put(
        {"b.txt": "b", "deep/er/a.txt": "a"},
        kind="program",
        signature=signature,
        parents=(parent,),
        step={"type": "capture_step"},
        code="1",
        environment="e",
        data={"examples": parent},
        metrics={"parameters": 3.0},
    )
    manifest = store.artifacts.manifest(digest)
    assert [f.path for f in manifest.files] == ["b.txt", "deep/er/a.txt"]
    assert manifest.signature == signature
    assert manifest.parents == (parent,)
    assert dict(manifest.metrics) == {"parameters": 3.0}
    assert (store.artifacts.path(digest) / "deep/er/a.txt").read_text() == "a"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text("abcxyz", min_size=1, max_size=5), st.binary(max_size=200), min_size=1, max_size=4
    )
)
def test_the_digest_is_the_content_and_nothing_else(tmp_path_factory, files):
    digests = set()
    for name in ("one", "two"):
        store = Store(tmp_path_factory.mktemp(name))
        folder = store.scratch()
        for path, content in files.items():
            (folder / path).write_bytes(content)
        digests |= {store.artifacts.put(ArtifactDraft("data", folder)) for _ in range(2)}
        store.close()
    assert len(digests) == 1


def test_putting_twice_keeps_one_copy_of_equal_files(store, put):
    one, two = put({"a": "same", "b": "other"}), put({"a": "same"})
    assert one != two
    paths = [store.artifacts.path(digest) / "a" for digest in (one, two)]
    assert paths[0].samefile(paths[1])


def test_files_are_read_only(store, put):
    path = store.artifacts.path(put({"a": "text"})) / "a"
    assert not stat.S_IMODE(path.stat().st_mode) & 0o222


def test_the_source_may_change_after_the_put(store):
    folder = store.scratch()
    (folder / "a").write_text("first")
    digest = store.artifacts.put(ArtifactDraft("data", folder))
    (folder / "a").write_text("other")
    store.artifacts.verify(digest)


def damage(path, content):
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"tex", b"longer text"])
def test_a_file_of_another_size_is_corrupt_when_opened(store, put, content):
    digest = put({"a": "text"})
    damage(store.artifacts.path(digest) / "a", content)
    assert not store.artifacts.exists(digest)
    with pytest.raises(CorruptArtifact, match="a is missing or has the wrong size"):
        store.artifacts.path(digest)


def test_a_flipped_byte_is_found_by_verify(store, put):
    digest = put({"a": "text"})
    damage(store.artifacts.path(digest) / "a", b"tixt")
    with pytest.raises(CorruptArtifact, match="bytes of a do not match") as caught:
        store.artifacts.verify(digest)
    assert caught.value.fix.startswith(f"%mlops show {digest[:19]} ")
    assert not store.artifacts.exists(digest), "its step would be answered from the cache"
    assert put({"a": "text"}) == digest
    store.artifacts.verify(digest)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"_type":"manifest"'])
def test_a_damaged_manifest_is_corrupt(store, put, content):
    digest = put({"a": "text"})
    damage(store.artifacts.path(digest) / "manifest.json", content)
    with pytest.raises(CorruptArtifact, match="manifest's bytes"):
        store.artifacts.manifest(digest)


def test_a_missing_manifest_is_corrupt(store, put):
    digest = put({"a": "text"})
    (store.artifacts.path(digest) / "manifest.json").unlink()
    with pytest.raises(CorruptArtifact, match="the manifest is missing"):
        store.artifacts.verify(digest)


@pytest.mark.parametrize("hurt", ["flip", "cut", "remove", "manifest"])
def test_putting_the_same_content_again_heals(store, put, hurt):
    digest = put({"a": "text", "b": "more"})
    folder = store.artifacts.path(digest)
    if hurt == "remove":
        (folder / "a").unlink()
    else:
        target = folder / ("manifest.json" if hurt == "manifest" else "a")
        damage(target, b"tixt" if hurt == "flip" else b"")
    assert put({"a": "text", "b": "more"}) == digest
    store.artifacts.verify(digest)


def test_an_unknown_digest_is_unknown(store):
    with pytest.raises(UnknownArtifact):
        store.artifacts.path("sha256:" + "0" * 64)
    assert not store.artifacts.exists("sha256:" + "0" * 64)


def test_an_unknown_parent_is_refused(put):
    with pytest.raises(UnknownArtifact):
        put({"a": "x"}, parents=("sha256:" + "1" * 64,))


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_only_regular_files_are_taken(store, kind):
    folder = store.scratch()
    if kind == "link":
        (folder / "a").symlink_to("/etc/passwd")
    else:
        os.mkfifo(folder / "a")
    with pytest.raises(UnsafePath, match="a is not a regular file"):
        store.artifacts.put(ArtifactDraft("data", folder))


def test_a_draft_needs_a_folder_without_a_manifest(store, put, tmp_path):
    with pytest.raises(InputError, match="needs a folder"):
        store.artifacts.put(ArtifactDraft("data", tmp_path / "absent"))
    with pytest.raises(InputError, match="may not hold a manifest"):
        put({"manifest.json": "{}"})


def test_listing_by_kind_newest_first(store, put):
    first, second = put({"a": "1"}), put({"a": "2"})
    other = put({"a": "3"}, kind="program")
    assert [row.digest for row in store.artifacts.list("data")] == [second, first]
    assert {row.digest for row in store.artifacts.list()} == {first, second, other}
    assert store.artifacts.list("program")[0].size_bytes == 1


def test_an_artifact_in_use_is_not_removed(store, put):
    digest = put({"a": "1"})
    store.names.set("kept", digest)
    with pytest.raises(InputError, match="in use"):
        store.artifacts.remove(digest)
    store.names.remove("kept")
    store.artifacts.remove(digest)
    assert not store.artifacts.exists(digest)


def test_lineage_is_every_ancestor_once(store, put):
    a = put({"f": "a"})
    b, c = put({"f": "b"}, parents=(a,)), put({"f": "c"}, parents=(a,))
    d = put({"f": "d"}, parents=(b, c))
    put({"f": "stranger"})
    graph = store.lineage(d)
    assert {node.digest for node in graph.nodes} == {a, b, c, d}
    assert set(graph.edges) == {(d, b), (d, c), (b, a), (c, a)}
    assert store.children(a, "data") == [c, b]
    with pytest.raises(UnknownArtifact):
        store.lineage("sha256:" + "2" * 64)
