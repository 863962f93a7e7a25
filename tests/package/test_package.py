"""Pack, inspect and unpack: equal bytes for equal inputs, and nothing believed on the way back."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.package.conftest import ENVIRONMENT, LINEAGE, MANIFEST, SIGNATURE, do_pack
from workbench import codec
from workbench.errors import CorruptArtifact, MissingInput, PackageError, UnsafePath
from workbench.package import Limits, inspect, unpack
from workbench.package import layout as oci


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def rewrite_manifest(layout: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest the way an attacker would: with every digest above it made right again."""
    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads(oci.blob_path(layout, index["manifests"][0]["digest"]).read_bytes())
    change(manifest)
    data = json.dumps(manifest).encode()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    oci.blob_path(layout, digest).write_bytes(data)
    index["manifests"][0] |= {"digest": digest, "size": len(data)}
    (layout / "index.json").write_text(json.dumps(index))


def set_title(layout: Path, title: str, layer: int = 0) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["layers"][layer]["annotations"] = {oci.TITLE: title}

    rewrite_manifest(layout, change)


def blob_of(layout: Path, title: str) -> Path:
    (file,) = (file for file in inspect(layout).files if file.title == title)
    return oci.blob_path(layout, file.digest)


def test_round_trip_gives_the_same_files(compiled: Path, tmp_path: Path) -> None:
    report = do_pack(compiled, tmp_path / "package")
    package = unpack(tmp_path / "package", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(compiled)
    assert (package.digest, package.name) == (report.digest, "tiny:int8")
    assert report.files == len(package.files) == 5


def test_config_tells_signature_lineage_backend_and_environment(compiled: Path, tmp_path: Path) -> None:
    do_pack(compiled, tmp_path / "package")
    config = inspect(tmp_path / "package").config
    assert codec.from_json(config["signature"]) == SIGNATURE
    assert codec.from_json(config["manifest"]) == MANIFEST
    assert codec.from_json(config["environment"]) == ENVIRONMENT
    assert config["environment_digest"] == ENVIRONMENT.digest
    assert config["lineage"] == LINEAGE
    assert config["backend"] == {"backend": "onnxruntime"}


def test_equal_inputs_give_identical_layouts(compiled: Path, tmp_path: Path) -> None:
    first = do_pack(compiled, tmp_path / "one")
    for path in compiled.rglob("*"):
        os.utime(path, (1, 1))
    (compiled / "model.onnx").chmod(0o600)
    assert do_pack(compiled, tmp_path / "two") == first
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_size_counts_equal_files_once(compiled: Path, tmp_path: Path) -> None:
    (compiled / "copy.onnx").write_bytes((compiled / "model.onnx").read_bytes())
    report = do_pack(compiled, tmp_path / "package")
    blobs = list((tmp_path / "package" / "blobs" / "sha256").iterdir())
    assert report.files == 6
    assert report.size_bytes == sum(blob.stat().st_size for blob in blobs)
    unpack(tmp_path / "package", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(compiled)


def test_layout_is_what_the_image_spec_asks(compiled: Path, tmp_path: Path) -> None:
    report = do_pack(compiled, tmp_path / "package")
    layout = tmp_path / "package"
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_bytes())
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert index["manifests"][0]["digest"] == report.digest
    for blob in (layout / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def test_fills_an_empty_folder_but_never_a_taken_one(compiled: Path, tmp_path: Path) -> None:
    out = tmp_path / "package"
    out.mkdir()
    do_pack(compiled, out)
    with pytest.raises(PackageError, match="the target exists already"):
        do_pack(compiled, out)
    with pytest.raises(PackageError, match="the target exists already"):
        unpack(out, compiled)


def test_refuses_a_folder_that_was_not_compiled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInput, match=r"no signature\.json"):
        do_pack(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_refuses_to_pack_a_link(compiled: Path, tmp_path: Path) -> None:
    (compiled / "secret").symlink_to("/etc/hostname")
    with pytest.raises(UnsafePath, match="neither a file nor a folder"):
        do_pack(compiled, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["compiled"], "nothing half-written is left"


def test_refuses_lineage_that_is_no_json(compiled: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="not JSON"):
        do_pack(compiled, tmp_path / "out", lineage={"when": object()})


@pytest.mark.parametrize("damage", ["flip", "truncate", "grow", "remove"])
def test_damaged_blob_is_named_and_nothing_is_left(compiled: Path, tmp_path: Path, damage: str) -> None:
    layout = tmp_path / "package"
    do_pack(compiled, layout)
    blob = blob_of(layout, "weights/part-0.bin")
    data = bytearray(blob.read_bytes())
    if damage == "remove":
        blob.unlink()
    else:
        data[1_500_000] ^= 1
        blob.write_bytes({"flip": data, "truncate": data[:-1], "grow": data + b"x"}[damage])
    with pytest.raises(CorruptArtifact, match="is damaged") as caught:
        unpack(layout, tmp_path / "back")
    assert "weights/part-0.bin" in caught.value.what
    assert caught.value.fields["digest"] == f"sha256:{blob.name}"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["compiled", "package"]


def test_damaged_manifest_and_config_are_found_without_unpacking(compiled: Path, tmp_path: Path) -> None:
    for at, media in enumerate(("manifest", "config")):
        layout = tmp_path / f"package-{at}"
        report = do_pack(compiled, layout)
        manifest = oci.blob_path(layout, report.digest)
        digest = (
            report.digest if media == "manifest" else json.loads(manifest.read_bytes())["config"]["digest"]
        )
        blob = oci.blob_path(layout, digest)
        blob.write_bytes(blob.read_bytes().replace(b'"', b"'", 1))
        with pytest.raises(CorruptArtifact, match="do not match its digest") as caught:
            inspect(layout)
        assert caught.value.where == digest


@given(at=st.integers(0, 2**20), flip=st.integers(1, 255))
@settings(max_examples=40, deadline=None)
def test_any_flipped_byte_is_refused(at: int, flip: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("flip")
    compiled = root / "compiled"
    compiled.mkdir()
    (compiled / "signature.json").write_text(codec.dumps(SIGNATURE))
    (compiled / "backend.json").write_text('{"backend": "onnxruntime"}')
    do_pack(compiled, root / "package")
    blobs = sorted((root / "package" / "blobs" / "sha256").iterdir())
    blob = blobs[at % len(blobs)]
    data = bytearray(blob.read_bytes())
    data[at % len(data)] ^= flip
    blob.write_bytes(data)
    with pytest.raises(CorruptArtifact, match=blob.name):
        unpack(root / "package", root / "back")


@pytest.mark.parametrize(
    "title",
    [
        "../escaped",
        "/etc/escaped",
        "a/../../escaped",
        ".",
        "",
        "./model.onnx",
        "a//b",
        "a/",
        "nul\0",
        "\ud800",
    ],
)
def test_a_path_that_is_not_plain_is_refused(compiled: Path, tmp_path: Path, title: str) -> None:
    do_pack(compiled, tmp_path / "package")
    set_title(tmp_path / "package", title)
    with pytest.raises(UnsafePath, match="not a plain relative path"):
        unpack(tmp_path / "package", tmp_path / "back")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["compiled", "package"]


@pytest.mark.parametrize(
    ("title", "text"), [("model.onnx", "twice"), ("model.onnx/inner", "below another file")]
)
def test_paths_that_collide_are_refused(compiled: Path, tmp_path: Path, title: str, text: str) -> None:
    do_pack(compiled, tmp_path / "package")
    set_title(tmp_path / "package", title)
    with pytest.raises(PackageError, match=text):
        unpack(tmp_path / "package", tmp_path / "back")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_blob_that_is_no_plain_file_is_refused(compiled: Path, tmp_path: Path, kind: str) -> None:
    do_pack(compiled, tmp_path / "package")
    blob = blob_of(tmp_path / "package", "model.onnx")
    kept = tmp_path / "kept"
    blob.rename(kept)
    make = {"link": lambda: blob.symlink_to(kept), "pipe": lambda: os.mkfifo(blob), "folder": blob.mkdir}
    make[kind]()
    with pytest.raises(UnsafePath, match="plain file"):
        unpack(tmp_path / "package", tmp_path / "back")


@pytest.mark.parametrize("limits", [Limits(total_bytes=1_000_000), Limits(files=4)])
def test_a_package_above_the_limits_is_refused_before_writing(
    compiled: Path, tmp_path: Path, limits: Limits
) -> None:
    do_pack(compiled, tmp_path / "package")
    with pytest.raises(PackageError, match=r"5 files of 3,010,") as caught:
        unpack(tmp_path / "package", tmp_path / "back", limits=limits)
    assert "are unpacked" in caught.value.fix


def test_a_document_above_the_limit_is_refused(compiled: Path, tmp_path: Path) -> None:
    do_pack(compiled, tmp_path / "package")
    with pytest.raises(PackageError, match="a document of"):
        inspect(tmp_path / "package", limits=Limits(document_bytes=600))


def test_a_claimed_size_does_not_become_memory(compiled: Path, tmp_path: Path) -> None:
    do_pack(compiled, tmp_path / "package")

    def claim(manifest: dict[str, Any]) -> None:
        manifest["layers"][0]["size"] = 1 << 34

    rewrite_manifest(tmp_path / "package", claim)
    with pytest.raises(CorruptArtifact, match="not 17,179,869,184"):
        unpack(tmp_path / "package", tmp_path / "back")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}, "media type"),
        ({"digest": "sha256:../../../etc/passwd"}, "64 hex digits"),
        ({"digest": "md5:" + "0" * 32}, "64 hex digits"),
        ({"size": -1}, "not a number of bytes"),
        ({"size": True}, "not a number of bytes"),
    ],
)
def test_a_descriptor_of_something_else_is_refused(
    compiled: Path, tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    do_pack(compiled, tmp_path / "package")
    rewrite_manifest(tmp_path / "package", lambda manifest: manifest["layers"][0].update(change))
    with pytest.raises(PackageError, match=text):
        unpack(tmp_path / "package", tmp_path / "back")


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("oci-layout", b'{"imageLayoutVersion": "9"}', "layout version '9'"),
        ("oci-layout", b"[" * 100_000, "not JSON"),
        ("index.json", b'{"manifests": []}', "exactly one package"),
        ("index.json", b"[]", "not a JSON object"),
        ("index.json", b'{"manifests": [7]}', "no list of manifests"),
    ],
)
def test_a_folder_that_is_no_package_is_refused(
    compiled: Path, tmp_path: Path, name: str, data: bytes, text: str
) -> None:
    do_pack(compiled, tmp_path / "package")
    (tmp_path / "package" / name).write_bytes(data)
    with pytest.raises(PackageError, match=text):
        inspect(tmp_path / "package")


def test_no_layout_at_all(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no oci-layout"):
        inspect(tmp_path)
