"""The Tab key, through a real kernel's complete_request."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("%mlops qu", ["%mlops quantize"]),
        ("x = %mlops qu", ["x = %mlops quantize"]),
        ("%%mlops pro", ["%%mlops probe", "%%mlops profile", "%%mlops promote"]),
        ("a = 1\n%mlops com", ["a = 1\n%mlops compare", "a = 1\n%mlops compile"]),
        ("%mlops quantize m --max", ["%mlops quantize m --max-drop"]),
        (
            "%mlops quantize m --scheme in",
            ["%mlops quantize m --scheme int4", "%mlops quantize m --scheme int8"],
        ),
        (
            "%mlops quantize m --scheme=in",
            ["%mlops quantize m --scheme=int4", "%mlops quantize m --scheme=int8"],
        ),
        ("%mlops quantize m --mode s", ["%mlops quantize m --mode static"]),
        ("%%mlops profile m --probes cpu,sc", ["%%mlops profile m --probes cpu,sched"]),
        ("%mlops capture enc", ["%mlops capture encoder"]),
        ("%mlops capture encoder --inputs batche", ["%mlops capture encoder --inputs batches"]),
        ("%mlops show $enc", ["%mlops show $encoder"]),
        ("%mlops show {enc", ["%mlops show {encoder"]),
        ("%mlops capture small", ["%mlops capture small.onnx"]),
        ("%mlops capture sub", ["%mlops capture sub/"]),
        ("%mlops capture sub/", ["%mlops capture sub/deep.onnx"]),
        ("%mlops compile mini", ["%mlops compile minilm", "%mlops compile minilm:int8"]),
        ("%mlops compile minilm:", ["%mlops compile minilm:int8"]),
    ],
)
def test_completions(kernel_with_things: Any, typed: str, expected: list[str]) -> None:
    assert kernel_with_things.complete(typed) == expected


@pytest.fixture(scope="module")
def kernel_with_things(kernel: Any) -> Any:
    reply, _ = kernel.execute(
        """
        import os, pathlib
        encoder, batch, batches = object(), 1, [1]
        pathlib.Path("small.onnx").touch(); pathlib.Path("notes.txt").touch()
        os.mkdir("sub"); pathlib.Path("sub/deep.onnx").touch()
        from workbench.store import ArtifactDraft, Store
        store = Store()
        files = store.scratch(); (files / "x").write_text("x")
        digest = store.artifacts.put(ArtifactDraft("program", files))
        for name in ("minilm", "minilm:int8", "digits"):
            store.names.set(name, digest)
        """
    )
    assert reply["status"] == "ok", reply
    return kernel


def test_python_lines_are_left_alone(kernel_with_things: Any) -> None:
    assert "encoder" in kernel_with_things.complete("enc")


def test_the_tab_key_makes_no_store(kernel: Any) -> None:
    kernel.execute("import os; old = os.environ['MLOPS_HOME']; os.environ['MLOPS_HOME'] = 'absent'")
    assert kernel.complete("%mlops show z") == []
    reply, _ = kernel.execute("assert not os.path.exists('absent'); os.environ['MLOPS_HOME'] = old")
    assert reply["status"] == "ok"
