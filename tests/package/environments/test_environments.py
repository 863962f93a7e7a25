"""A lock made real again: virtual environments, images, what a sandbox keeps out, and what cannot be built."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from workbench.errors import CorruptArtifact, InputError, PackageError, StorageFull, UnsafePath
from workbench.package.environment import EnvironmentLock, lock
from workbench.package.environments import (
    Place,
    Sandbox,
    build_image,
    build_venv,
    closure,
    containerfile,
    contents,
    installed,
    requirements,
    unpack_image,
)
from workbench.package.environments.sandbox import chrooted
from workbench.package.isolation import Isolation
from workbench.package.tar_layer import Member, write_layer

SMALL = ("cloudpickle", "psutil")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """An image of a small environment: an interpreter and two packages."""
    layout = tmp_path_factory.mktemp("image") / "layout"
    return layout, build_image(layout, lock=lock(), only=SMALL, name="small")


def no_sandbox():
    if os.geteuid() != 0:
        return "a sandbox needs root: isolation was NOT tested"
    if chrooted():
        return "no sandbox can be made inside a chroot: isolation was NOT tested"
    return "" if shutil.which("runc") or Path("/usr/sbin/runc").exists() else "runc is not installed"


sandboxed = pytest.mark.skipif(bool(no_sandbox()), reason=no_sandbox())


def run(sandbox, folder):
    try:
        process = sandbox.start(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        return process.communicate(timeout=120)[0].decode(), process.returncode
    finally:
        sandbox.remove()


def test_a_closure_and_what_is_not_installed():
    known = installed()
    assert {"ipython", "traitlets"} <= closure(["IPython"], known)
    with pytest.raises(InputError, match="no-such-thing is not installed"):
        closure(["no_such.thing"], known)


def test_contents_are_equal_wherever_the_same_build_is_installed(tmp_path):
    report = build_venv(lock(), tmp_path / "env", only=SMALL)
    assert (report.linked, report.fetched) == (2, 0)
    site = next((tmp_path / "env/lib").iterdir()) / "site-packages"
    here = contents()
    assert contents([str(site)]) == {name: here[name] for name in SMALL}
    code = "import cloudpickle, psutil, sys; print(sys.prefix, cloudpickle.__file__)"
    said = subprocess.run(
        [report.python, "-c", code], capture_output=True, text=True, env={}, check=True
    ).stdout
    assert said.split()[0] == str(tmp_path / "env")
    assert said.split()[1].startswith(str(site))


def test_scripts_name_the_new_interpreter(tmp_path):
    build_venv(lock(), tmp_path / "env", only=["tqdm"])
    assert (tmp_path / "env/bin/tqdm").read_text().splitlines()[0] == f"#!{tmp_path}/env/bin/python"


def test_a_lock_that_cannot_be_resolved_names_the_package_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    here = lock()
    other = EnvironmentLock(here.python, here.platform, ("psutil==0.0.1",))
    with pytest.raises(PackageError, match=r"psutil==0\.0\.1") as caught:
        build_venv(other, tmp_path / "env")
    assert caught.value.fields["packages"] == ["psutil==0.0.1"]
    assert not (tmp_path / "env").exists()
    with pytest.raises(PackageError, match=r"not installed here: psutil==0\.0\.1"):
        build_image(tmp_path / "image", lock=other)
    assert list(tmp_path.iterdir()) == []


def test_another_python_and_a_taken_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"of cpython 3\.99"):
        build_venv(EnvironmentLock("cpython 3.99", "linux x86_64", ()), tmp_path / "env")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="exists already"):
        build_venv(lock(), tmp_path / "taken")
    with pytest.raises(PackageError, match="needs an environment or a model"):
        build_image(tmp_path / "image")


def test_a_full_disk_leaves_nothing(small_disk):
    with pytest.raises(StorageFull):
        build_image(small_disk / "image", lock=lock(), only=["numpy"])
    assert list(small_disk.iterdir()) == []


def test_equal_environments_have_equal_images(image, tmp_path):
    layout, report = image
    again = build_image(tmp_path / "again", lock=lock(), only=SMALL, name="small")
    assert again.digest == report.digest
    names = [
        sorted(p.name for p in (place / "blobs/sha256").iterdir()) for place in (layout, tmp_path / "again")
    ]
    assert names[0] == names[1]
    assert [label for label, _ in report.layers] == ["system", "interpreter", "packages"]


def test_a_layer_is_sorted_and_has_no_time_or_owner(tmp_path):
    (tmp_path / "f").write_bytes(b"1")
    members = [
        Member(Path("b/x"), tmp_path / "f", executable=True),
        Member(Path("a"), b"2"),
        Member(Path("l"), link="a"),
    ]
    first = write_layer(tmp_path / "layer", members)
    os.utime(tmp_path / "f", (1, 1))
    assert write_layer(tmp_path / "other", reversed(members)) == first
    with tarfile.open(tmp_path / "layer") as tar:
        entries = tar.getmembers()
    assert [(e.name, oct(e.mode), e.mtime, e.uid) for e in entries] == [
        ("a", "0o644", 0, 0), ("b", "0o755", 0, 0), ("b/x", "0o755", 0, 0), ("l", "0o777", 0, 0),
    ]  # fmt: skip


def test_a_changed_layer_is_not_unpacked(image, tmp_path):
    layout, _ = image
    broken = tmp_path / "broken"
    shutil.copytree(layout, broken)
    path = max((broken / "blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptArtifact, match="do not match"):
        unpack_image(broken, tmp_path / "root")


@pytest.mark.parametrize(
    "evil",
    [
        lambda outside: [Member(Path("out"), link=str(outside)), Member(Path("out/escaped"), b"x")],
        lambda _: [Member(Path("a/b"), b"x"), Member(Path("a"), b"x")],
        lambda _: [Member(Path("a"), b"x"), Member(Path("a/b"), b"x")],
    ],
    ids=["through a link", "a file over a folder", "a folder over a file"],
)
def test_a_layer_that_does_not_unpack_safely_is_refused(tmp_path, evil):
    layout = tmp_path / "layout"
    (layout / "blobs/sha256").mkdir(parents=True)
    layer = write_layer(tmp_path / "layer", evil(tmp_path))

    def blob(data, media_type):
        import hashlib

        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    stem = "application/vnd.oci.image"
    blob((tmp_path / "layer").read_bytes(), "")
    config = blob(b"{}", f"{stem}.config.v1+json")
    manifest = {"config": config, "layers": [layer.to_json()]}
    top = blob(json.dumps(manifest).encode(), f"{stem}.manifest.v1+json")
    (layout / "index.json").write_text(json.dumps({"manifests": [top]}))
    with pytest.raises(UnsafePath, match="does not unpack safely") as caught:
        unpack_image(layout, tmp_path / "root")
    assert caught.value.where == layer.digest
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (("/etc/x", tarfile.REGTYPE, ""), "lies outside"),
        (("../x", tarfile.REGTYPE, ""), "lies outside"),
        (("a", tarfile.SYMTYPE, "../../x"), "leads outside"),
        (("a", tarfile.LNKTYPE, "../x"), "lies outside"),
        (("a", tarfile.CHRTYPE, ""), "is no file"),
    ],
)
def test_a_member_that_is_not_safe_is_refused(tmp_path, member, why):
    from workbench.package.environments.unpack import _place

    info = tarfile.TarInfo(member[0])
    info.type, info.linkname = member[1:]
    with tarfile.open(tmp_path / "t", "w") as tar, pytest.raises(ValueError, match=why):
        _place(tar, info, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@sandboxed
def test_an_image_runs_and_sees_nothing_of_this_machine(image, tmp_path):
    layout, _ = image
    config = unpack_image(layout, tmp_path / "root")
    (tmp_path / "bundle").mkdir()
    code = (
        "import psutil, os, socket, json; print(json.dumps([psutil.__version__, sorted(os.listdir('/home')"
        " if os.path.exists('/home') else []), [n for _, n in socket.if_nameindex()], socket.gethostname()]))"
    )
    variables = dict(one.split("=", 1) for one in config["Env"])
    sandbox = Sandbox(
        tmp_path / "bundle", [*config["Entrypoint"], "-c", code], environment=variables, cwd=Path("/tmp"),
        isolation=Isolation(), root=tmp_path / "root",
    )  # fmt: skip
    text, status = run(sandbox, tmp_path)
    assert status == 0, text
    import psutil

    assert json.loads(text) == [psutil.__version__, [], ["lo"], socket.gethostname()]


@sandboxed
def test_a_sandbox_bounds_memory_and_writes_only_where_it_may(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "open").mkdir()
    places = [Place(Path(sys.base_prefix)), Place(Path(sys.prefix)), Place(tmp_path / "open", writable=True)]
    code = f"""
import pathlib
pathlib.Path({str(tmp_path / "open" / "f")!r}).write_text("x")
for path in ({sys.prefix + "/x"!r}, "/usr/x", "/x"):
    try:
        pathlib.Path(path).write_text("x")
    except OSError as error:
        print(error.strerror)
print("now", flush=True)
keep = bytearray(400 << 20)
print("not limited")
"""
    sandbox = Sandbox(
        tmp_path / "bundle", [sys.executable, "-c", code], environment={}, cwd=Path("/tmp"),
        isolation=Isolation(memory_bytes=128 << 20), places=places,
    )  # fmt: skip
    text, status = run(sandbox, tmp_path)
    assert text.splitlines() == ["Read-only file system"] * 3 + ["now"]
    assert status == 137
    assert (tmp_path / "open" / "f").read_text() == "x"


def test_text_for_other_tools():
    here = lock()
    text = requirements(here, {"numpy": "ab12"})
    assert "numpy==" in text
    assert "contents sha256:ab12" in text
    file = containerfile(here, "registry.example/base")
    assert "FROM registry.example/base" in file
    assert here.digest in file
