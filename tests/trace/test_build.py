import os
import shutil
import subprocess
import sys

import pytest

from workbench.bpf import build as builder
from workbench.errors import MissingDependency, TraceError
from workbench.trace.build import SOURCES, load_object
from workbench.trace.probes import FOLLOW, PROBES

_clang = pytest.mark.skipif(
    not any(
        os.access(os.path.join(folder, "clang"), os.X_OK) for folder in os.environ["PATH"].split(os.pathsep)
    ),
    reason="clang is not installed (system-packages.txt)",
)


@pytest.fixture
def sources(tmp_path):
    """Give a folder with two of the probes and what they include."""
    folder = tmp_path / "bpf"
    folder.mkdir()
    for path in (*SOURCES.glob("*.h"), SOURCES / "follow.bpf.c", SOURCES / "syscalls.bpf.c"):
        shutil.copy(path, folder)
    return folder


@_clang
def test_a_second_build_does_nothing_and_a_missing_object_is_built_again(sources, tmp_path):
    out = tmp_path / "out"
    paths = builder.build(sources, out)
    assert [path.name for path in paths] == ["follow.bpf.o", "syscalls.bpf.o"]
    times = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in builder.build(sources, out)] == times
    paths[0].unlink()
    builder.build(sources, out)
    assert load_object("follow", out)[:4] == b"\x7fELF"


def test_every_probe_has_a_source():
    assert {FOLLOW.name, *PROBES} <= {path.name.removesuffix(".bpf.c") for path in SOURCES.glob("*.bpf.c")}


def test_without_clang_the_fix_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match="clang is not installed") as caught:
        builder.build(SOURCES, tmp_path)
    assert caught.value.fix == "apt-get install clang libbpf-dev"


def test_the_command_says_it_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "workbench.bpf.build"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "apt-get install clang libbpf-dev" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_object_that_was_not_built(tmp_path):
    with pytest.raises(TraceError, match="BPF object 'cpu' is not built") as caught:
        load_object("cpu", tmp_path)
    assert "python -m workbench.bpf.build" in caught.value.fix


@pytest.mark.parametrize("name", [FOLLOW.name, *PROBES])
def test_each_probe_says_what_it_costs_and_loses(name):
    text = (SOURCES / f"{name}.bpf.c").read_text()
    assert text.startswith("// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0\n")
    for word in ("WHAT", "ATTACH", "COST", "LOSS"):
        assert f" * {word}" in text
