"""Packages to a real registry and back, through broken connections, full disks and tampered bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.package.conftest import CuttingProxy, RunningRegistry, do_pack
from workbench.errors import CorruptArtifact, InputError, PackageError, RegistryError, StorageFull
from workbench.package import Limits, Reference, inspect, pull_layout, push_layout, signatures, unpack
from workbench.package import layout as oci
from workbench.package.keys import new_key, read_signing

MIB = 1 << 20


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def place(url: str, text: str = "/models/tiny:int8") -> Reference:
    return Reference.parse(url + text)


@pytest.fixture
def layout(compiled: Path, tmp_path: Path) -> Path:
    (compiled / "big.bin").write_bytes(os.urandom(12 * MIB))
    new_key(tmp_path / "key")
    do_pack(compiled, tmp_path / "package", key=read_signing(tmp_path / "key"))
    return tmp_path / "package"


def test_there_and_back_is_the_same_layout(layout: Path, tmp_path: Path, registry: RunningRegistry) -> None:
    sent: list[int] = []
    pinned = push_layout(layout, place(registry.url), progress=sent.append)
    assert pinned.digest == inspect(layout).digest
    assert sum(sent) == sum(p.stat().st_size for p in oci.blob_path(layout, "").iterdir()) - sum(
        len(read(layout, one)) for one in manifests(layout)
    )
    for number, reference in enumerate((place(registry.url), pinned)):
        out = tmp_path / f"back-{number}"
        package = pull_layout(reference, out, tmp_path / "partial")
        assert package.digest == pinned.digest
        assert files_of(out) == files_of(layout)
    assert signatures(tmp_path / "back-0") == signatures(layout)
    assert list((tmp_path / "partial").iterdir()) == []


def manifests(layout: Path) -> list[str]:
    return [one["digest"] for one in json.loads((layout / "index.json").read_bytes())["manifests"]]


def read(layout: Path, digest: str) -> bytes:
    return oci.blob_path(layout, digest).read_bytes()


def test_a_second_push_sends_no_blob(layout: Path, registry: RunningRegistry) -> None:
    push_layout(layout, place(registry.url))
    sent: list[int] = []
    push_layout(layout, place(registry.url, "/models/tiny:again"), progress=sent.append)
    assert sent == []


def test_another_client_can_read_it(layout: Path, registry: RunningRegistry) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("no skopeo")
    push_layout(layout, place(registry.url))
    address = registry.url.replace("http:", "docker:") + "/models/tiny:int8"
    line = [skopeo, "inspect", "--raw", "--tls-verify=false", address]
    shown = subprocess.run(line, capture_output=True, check=True).stdout
    assert json.loads(shown)["artifactType"] == oci.ARTIFACT


def test_a_push_goes_on_through_connections_that_break(layout: Path, registry: RunningRegistry) -> None:
    """Every connection is cut after 14 MiB of the 15; what went through is not sent again."""
    total = sum(p.stat().st_size for p in oci.blob_path(layout, "").iterdir())
    proxy = CuttingProxy(registry.port, 14 * MIB)
    try:
        push_layout(layout, place(proxy.url))
        assert proxy.connections > 1
        assert proxy.passed < 2 * total
    finally:
        proxy.close()


def test_a_pull_goes_on_through_connections_that_break(
    layout: Path, tmp_path: Path, registry: RunningRegistry
) -> None:
    """Every connection is cut after 2 MiB; the largest blob has 12, and comes in as many parts as it takes."""
    total = sum(p.stat().st_size for p in oci.blob_path(layout, "").iterdir())
    push_layout(layout, place(registry.url))
    proxy = CuttingProxy(registry.port, 2 * MIB)
    try:
        pull_layout(place(proxy.url), tmp_path / "back", tmp_path / "partial")
        assert files_of(tmp_path / "back") == files_of(layout)
        assert proxy.connections > 5
        assert proxy.passed < 2 * total
    finally:
        proxy.close()


def test_a_registry_that_goes_down_half_way(layout: Path, tmp_path: Path, registry: RunningRegistry) -> None:
    push_layout(layout, place(registry.url))
    got: list[int] = []

    def stop_early(count: int) -> None:
        got.append(count)
        if sum(got) > 5 * MIB:
            registry.stop()

    partial, out = tmp_path / "partial", tmp_path / "back"
    with pytest.raises(RegistryError, match="does not answer") as caught:
        pull_layout(place(registry.url), out, partial, progress=stop_early)
    assert "run it again" in caught.value.fix
    assert not out.exists()
    kept = sum(p.stat().st_size for p in partial.rglob("*") if p.is_file())
    assert kept > 4 * MIB

    again = RunningRegistry(registry.folder, registry.port)
    try:
        more: list[int] = []
        pull_layout(place(registry.url), out, partial, progress=more.append)
        assert files_of(out) == files_of(layout)
        total = sum(p.stat().st_size for p in oci.blob_path(layout, "").iterdir())
        assert sum(more) < total - 4 * MIB
    finally:
        again.stop()


def test_a_push_to_a_registry_that_is_not_there(layout: Path) -> None:
    with pytest.raises(RegistryError, match="does not answer"):
        push_layout(layout, place("http://127.0.0.1:9"))


def test_a_tampered_layer_is_thrown_away(layout: Path, tmp_path: Path, registry: RunningRegistry) -> None:
    push_layout(layout, place(registry.url))
    (big,) = (file for file in inspect(layout).files if file.title == "big.bin")
    stored = registry.blob(big.digest)
    data = bytearray(stored.read_bytes())
    data[7 * MIB] ^= 1
    stored.write_bytes(data)
    with pytest.raises(CorruptArtifact, match=r"bytes of big\.bin do not match"):
        pull_layout(place(registry.url), tmp_path / "back", tmp_path / "partial")
    assert not (tmp_path / "back").exists()
    name = big.digest.removeprefix("sha256:")
    assert not [path for path in (tmp_path / "partial").rglob("*") if path.name.startswith(name)]


def test_a_tampered_manifest_is_refused(layout: Path, tmp_path: Path, registry: RunningRegistry) -> None:
    pinned = push_layout(layout, place(registry.url))
    stored = registry.blob(pinned.digest)
    stored.write_bytes(stored.read_bytes().replace(b"big.bin", b"bad.bin"))
    with pytest.raises((PackageError, CorruptArtifact)):
        pull_layout(pinned, tmp_path / "back", tmp_path / "partial")
    assert not (tmp_path / "back").exists()


def test_limits_hold_before_a_file_is_fetched(
    layout: Path, tmp_path: Path, registry: RunningRegistry
) -> None:
    push_layout(layout, place(registry.url))
    got: list[int] = []
    with pytest.raises(PackageError, match="files of"):
        pull_layout(
            place(registry.url),
            tmp_path / "back",
            tmp_path / "partial",
            limits=Limits(total_bytes=MIB),
            progress=got.append,
        )
    assert got == []


def test_what_is_not_there(registry: RunningRegistry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no package models/none:latest"):
        pull_layout(place(registry.url, "/models/none"), tmp_path / "back", tmp_path / "partial")


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 6 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(line, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_package_that_does_not_fit_is_refused_before_it_comes(
    layout: Path, registry: RunningRegistry, small_disk: Path
) -> None:
    push_layout(layout, place(registry.url))
    got: list[int] = []
    with pytest.raises(StorageFull, match="are free"):
        pull_layout(place(registry.url), small_disk / "back", small_disk / "partial", progress=got.append)
    assert got == []


def test_a_disk_that_fills_up_during_a_pull(
    layout: Path, registry: RunningRegistry, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_layout(layout, place(registry.url))
    real = shutil.disk_usage
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: real("/")._replace(free=1 << 40)
    )  # it was free then
    with pytest.raises(StorageFull, match="no space left"):
        pull_layout(place(registry.url), small_disk / "back", small_disk / "partial")
    assert not (small_disk / "back").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "minilm",
        "ftp://host/x",
        "http://host",
        "http://host/UPPER",
        "http://host/a/../b",
        "http://h/a@sha256:12",
    ],
)
def test_texts_that_are_no_place_in_a_registry(text: str) -> None:
    with pytest.raises(InputError, match="no place in a registry"):
        Reference.parse(text)


def test_the_oci_form_is_pinned_when_the_digest_is_known() -> None:
    digest = "sha256:" + "0" * 64
    assert Reference.parse("http://h:5000/a/b:c").oci == "oci://h:5000/a/b:c"
    assert Reference.parse(f"oci://h/a@{digest}").oci == f"oci://h/a:latest@{digest}"
    assert Reference.parse("oci://h/a").url == "https://h"


def test_a_pulled_package_unpacks(
    compiled: Path, layout: Path, tmp_path: Path, registry: RunningRegistry
) -> None:
    push_layout(layout, place(registry.url))
    pull_layout(place(registry.url), tmp_path / "back", tmp_path / "partial")
    unpack(tmp_path / "back", tmp_path / "model")
    assert files_of(tmp_path / "model") == files_of(compiled)
