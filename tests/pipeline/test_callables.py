"""Functions cross to another process by reference or by signed value; nothing unsigned is unpickled."""

import hmac
import importlib.util
import json
import pickle
import subprocess
import sys
import threading

import pytest

from workbench.errors import CorruptArtifact, InputError, MissingInput
from workbench.pipeline import callables
from workbench.pipeline.callables import CallableReference
from workbench.store import ArtifactDraft, Store


def test_an_importable_function_crosses_by_reference(store):
    reference = callables.send(store, json.dumps)
    assert reference.target == "json:dumps"
    assert reference.blob == ""
    assert callables.receive(store, reference) is json.dumps


def test_a_notebook_function_crosses_by_value(store, cell):
    function = cell("def add(x):\n    return x + offset", offset=40)["add"]
    reference = callables.send(store, function)
    assert reference.blob
    assert callables.receive(store, reference)(2) == 42


def test_a_lambda_and_a_callable_object_cross(store, cell):
    assert callables.receive(store, callables.send(store, lambda: 5))() == 5
    counter = cell("class Twice:\n    def __call__(self, x):\n        return 2 * x")["Twice"]()
    assert callables.receive(store, callables.send(store, counter))(4) == 8


def test_a_function_of_a_module_that_only_this_process_has_crosses_by_value(store, tmp_path):
    path = tmp_path / "only_here_module.py"
    path.write_text("def f():\n    return 'here'\n")
    spec = importlib.util.spec_from_file_location("only_here_module", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["only_here_module"] = module
    spec.loader.exec_module(module)
    try:
        reference = callables.send(store, module.f)
    finally:
        del sys.modules["only_here_module"]
    assert reference.blob
    assert callables.receive(store, reference)() == "here"


def test_the_fingerprint_is_the_code_not_its_place(store, cell):
    plain = "def f(x):\n    return x + offset"
    first = callables.send(store, cell(plain, offset=1)["f"])
    moved = callables.send(store, cell("\n\n\n# moved down\n" + plain, offset=1)["f"])
    edited = callables.send(store, cell(plain.replace("+", "-"), offset=1)["f"])
    other_global = callables.send(store, cell(plain, offset=2)["f"])
    assert first.fingerprint == moved.fingerprint
    assert len({first.fingerprint, edited.fingerprint, other_global.fingerprint}) == 3


def test_the_fingerprint_is_the_same_in_another_process(store):
    code = (
        "from workbench.pipeline import callables; from workbench.store import Store; import pathlib, sys\n"
        "def f(x):\n    return {'a', 'b', x}\n"
        "print(callables.send(Store(pathlib.Path(sys.argv[1])), f).fingerprint)"
    )
    command = [sys.executable, "-c", code, str(store.home)]
    said = {subprocess.run(command, check=True, capture_output=True, timeout=60).stdout for _ in range(2)}
    assert len(said) == 1


class Bomb:
    """Raises an alarm when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("an unsigned blob was unpickled",)


def blob(store, payload, signature):
    folder = store.scratch()
    (folder / "callable.pkl").write_bytes(payload)
    (folder / "callable.sig").write_bytes(signature)
    digest = store.artifacts.put(ArtifactDraft("data", folder))
    return CallableReference("evil:f", "sha256:0", digest)


@pytest.mark.parametrize("signature", [b"", b"x" * 32, hmac.digest(b"guess", b"payload", "sha256")])
def test_an_unsigned_blob_is_never_opened(store, signature):
    reference = blob(store, pickle.dumps(Bomb()), signature)
    with pytest.raises(CorruptArtifact, match="not signed by this store; it was not opened"):
        callables.receive(store, reference)


def test_a_blob_of_another_store_is_refused(store, tmp_path, cell):
    other = Store(tmp_path / "other")
    folder = other.artifacts.path(callables.send(other, cell("def f():\n    return 1")["f"]).blob)
    reference = blob(store, *((folder / name).read_bytes() for name in ("callable.pkl", "callable.sig")))
    with pytest.raises(CorruptArtifact, match="not signed by this store"):
        callables.receive(store, reference)


def test_a_tampered_blob_is_found_before_it_is_opened(store, cell):
    reference = callables.send(store, cell("def f():\n    return 1")["f"])
    path = store.artifacts.path(reference.blob) / "callable.pkl"
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptArtifact, match=r"bytes of callable\.pkl"):
        callables.receive(store, reference)


def test_an_artifact_that_holds_no_function(store):
    folder = store.scratch()
    (folder / "a").write_text("x")
    digest = store.artifacts.put(ArtifactDraft("data", folder))
    with pytest.raises(CorruptArtifact, match="holds no function"):
        callables.receive(store, CallableReference("a:b", "", digest))


def test_what_cannot_be_pickled_says_so(store, cell):
    function = cell("def f():\n    return lock", lock=threading.Lock())["f"]
    with pytest.raises(InputError, match="__main__:f cannot be sent"):
        callables.send(store, function)
    with pytest.raises(InputError, match="5 cannot be called"):
        callables.send(store, 5)


@pytest.mark.parametrize("target", ["no_such_module:f", "json:no_such_function"])
def test_a_reference_that_is_gone(store, target):
    with pytest.raises(MissingInput, match="cannot be imported"):
        callables.receive(store, CallableReference(target, "sha256:0"))
