"""How kernels are compiled, kept and chosen."""

import ctypes
import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.kernels import reference
from workbench import kernels
from workbench.errors import CompileError, MissingDependency, UnsafePath
from workbench.kernels import build as build_module
from workbench.kernels import features, targets
from workbench.kernels.library import library


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mlops-workbench/kernels"


def test_a_library_is_compiled_once_and_only_its_owner_can_write_there(cache):
    path = build_module.build("generic")
    before = path.stat()
    assert path.parent == cache
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert build_module.build("generic") == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert [entry.name for entry in cache.iterdir()] == [path.name]


def test_a_folder_that_others_can_write_to_is_refused(cache):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with pytest.raises(UnsafePath, match="others can write"):
        build_module.build("generic")


def test_without_a_compiler_the_error_says_what_to_install(cache, monkeypatch):
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(MissingDependency, match="apt-get install gcc"):
        build_module.build("generic")


def test_a_compiler_that_fails_says_why(cache, monkeypatch, tmp_path):
    fake = tmp_path / "gcc"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo fake && exit\necho "no such thing" >&2\nexit 1\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(CompileError, match="no such thing"):
        build_module.build("generic")
    assert list(cache.iterdir()) == []


def test_what_the_processor_lacks_is_named_and_never_run(monkeypatch):
    monkeypatch.setattr(targets, "cpu_features", lambda: frozenset({"avx2", "bmi2", "fma"}))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(CompileError, match=r"lacks avx512_vnni, avx512bw.*\n.*\n.*host") as caught:
        library.__wrapped__("x86-64-avx512-vnni")
    assert "x86-64-avx2" in str(caught.value)
    assert targets.target_named("host").name == "x86-64-avx2"


def test_another_kind_of_machine_is_named(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    assert targets.target_named("host").name == "generic"
    with pytest.raises(CompileError, match="lacks x86_64"):
        library.__wrapped__("x86-64-avx2")


def test_an_unknown_target_lists_the_known():
    with pytest.raises(CompileError, match="one of: host, x86-64-avx512-vnni, "):
        kernels.library("sparc")


def test_features_of_other_processors_are_read():
    arm = (
        "processor : 0\nFeatures : fp asimd asimddp sve i8mm\n\nprocessor : 1\nFeatures : fp asimd asimddp\n"
    )
    assert features.features_in(arm) == {"fp", "asimd", "asimddp"}
    assert "v" in features.features_in("isa\t: rv64imafdcv_zba\n")
    assert features.features_in("nothing known") == frozenset()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the five-byte nop is one of x86")
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_functions_begin_with_the_nop_that_makes_tracing_cheap(compiler, cache, monkeypatch):
    if not build_module.shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed (system-packages.txt)")
    monkeypatch.setattr(build_module, "_compiler", lambda target: [compiler])
    calls = ctypes.CDLL(str(build_module.build("host")))
    for name in ("tern_linear", "tern_accumulate", "tern_conv", "tern_pack", "tern_isa"):
        address = ctypes.cast(getattr(calls, name), ctypes.c_void_p).value
        assert ctypes.string_at(address, 5) == bytes.fromhex("0f1f440000"), name


CHILD = """
import sys
import numpy as np
from workbench import kernels
assert not {"torch", "onnxruntime"} & set(sys.modules)
packed = kernels.PackedTernary.from_bytes(open(sys.argv[1], "rb").read())
print(kernels.accumulate(packed, np.ones((1, packed.k), np.int8)).sum())
"""


def test_two_processes_compile_at_once_and_both_work(tmp_path):
    t = np.random.default_rng(2).integers(-1, 2, (30, 50), dtype=np.int8)
    weight = tmp_path / "weight.tern"
    weight.write_bytes(kernels.pack(reference.codes_of(t), 50).to_bytes())
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(weight)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "XDG_CACHE_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [child.communicate(timeout=240)[0].strip() for child in children] == [str(t.sum(dtype=int))] * 2
