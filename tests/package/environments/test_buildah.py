"""What is refused before buildah starts anything, and what a full disk leaves; steps in it: tests/pipeline."""

import os
import shutil

import pytest

from workbench import codec
from workbench.errors import InputError, MissingDependency, StorageFull
from workbench.package.environment import lock
from workbench.package.environments import build_base, buildah, sandbox
from workbench.package.isolation import Isolation

WHICH = shutil.which


@pytest.fixture
def only(monkeypatch):
    """Let a machine have only some programs."""

    def installed(*names):
        monkeypatch.setattr("shutil.which", lambda name, **_: f"/usr/bin/{name}" if name in names else None)

    return installed


def test_without_a_runtime_or_root_it_says_what_to_do(only, monkeypatch):
    only("runc")
    with pytest.raises(MissingDependency, match="buildah is not installed") as caught:
        buildah.require()
    assert caught.value.fix.startswith("apt-get install buildah")
    only("buildah")
    with pytest.raises(MissingDependency, match=r"no runtime to start a container with \(runc or crun\)"):
        buildah.require()
    only("buildah", "crun")
    monkeypatch.setattr(sandbox, "chrooted", lambda: True)
    with pytest.raises(InputError, match="inside a chroot"):
        buildah.require()
    monkeypatch.setattr(sandbox, "chrooted", lambda: False)
    monkeypatch.setattr(sandbox, "_namespaces", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InputError, match="for root only") as caught:
        buildah.require()
    assert caught.value.fix.startswith("--sandbox image")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert buildah.require() == ("/usr/bin/buildah", "/usr/bin/crun")


def test_runc_that_is_missing_is_not_replaced_but_buildah_is_named(only):
    only("buildah", "crun")
    with pytest.raises(MissingDependency, match="runc is not installed") as caught:
        sandbox.require()
    assert caught.value.fix == "apt-get install runc, or --sandbox buildah, which is here"


def test_the_choice_of_a_line_is_not_lost():
    from workbench.magics.commands import _isolating
    from workbench.magics.parser import Parser

    parser = Parser(prog="quantize")
    _isolating.add(parser)

    def chosen(line):
        return _isolating.options(parser.parse_args(line.split()))["isolate"]

    assert chosen("--cpus 2") is None
    assert chosen("--isolate").sandbox == "runc"
    assert chosen("--isolate --sandbox buildah --network") == Isolation(network=True, sandbox="buildah")
    with pytest.raises(InputError, match="of --isolate"):
        chosen("--sandbox buildah")


def test_recipes_of_before_the_choice_mean_runc():
    old = {
        "_type": "isolation",
        "_version": 1,
        "memory_bytes": 1 << 30,
        "cpus": 2.0,
        "pids": 9,
        "network": True,
    }
    assert codec.from_json(old) == Isolation(1 << 30, 2.0, 9, True, "runc")
    with pytest.raises(InputError, match="no sandbox is called 'docker'"):
        Isolation(sandbox="docker")


@pytest.mark.skipif(WHICH("buildah") is None, reason="buildah is not installed: its full disk was NOT tested")
@pytest.mark.skipif(
    os.geteuid() != 0 or sandbox.chrooted(), reason="no root's sandbox here: a full disk was NOT tested"
)
def test_a_full_disk_leaves_no_image(small_disk, tmp_path_factory):
    layout = tmp_path_factory.mktemp("image") / "layout"
    build_base(layout, lock(), [])
    with pytest.raises(StorageFull):
        buildah.image_of(layout, small_disk / "image")
    assert list(small_disk.iterdir()) == []
