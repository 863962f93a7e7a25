"""Packages signed, sent, fetched and refused, as a user asks for it."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.package.conftest import RunningRegistry
from workbench import api, codec
from workbench.errors import InputError, MissingInput, RegistryError, UntrustedPackage
from workbench.store import ArtifactDraft
from workbench.types import Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "float32", ("batch", 2)),), (TensorSpec("y", "float32", ("batch", 2)),)
)


@pytest.fixture
def registry(tmp_path):
    if shutil.which("docker-registry") is None:
        pytest.skip("no docker-registry (apt-get install docker-registry)")
    (tmp_path / "registry").mkdir()
    running = RunningRegistry(tmp_path / "registry")
    yield running
    running.stop()


@pytest.fixture
def compiled(store):
    """A compiled artifact named as the verbs name it; its model is any bytes, nothing here runs it."""
    folder = store.scratch()
    (folder / "model.onnx").write_bytes(b"model")
    (folder / "signature.json").write_text(codec.dumps(SIGNATURE))
    (folder / "backend.json").write_text('{"backend": "onnxruntime"}')
    digest = store.artifacts.put(ArtifactDraft("compiled", folder, signature=SIGNATURE))
    store.names.set("small:int8/onnxruntime", digest)
    return "small:int8/onnxruntime"


def test_a_signed_package_goes_to_a_registry_and_comes_back(store, compiled, registry, tmp_path):
    key = str(tmp_path / "key")
    api.new_key(key)
    sent = api.push(compiled, sign=key, registry=registry.url, store=store)
    assert sent.reference.startswith(f"{registry.url}/small:int8@sha256:")
    assert sent.oci.startswith(f"oci://127.0.0.1:{registry.port}/small:int8@sha256:")
    api.trust_key(f"{key}.pub", store=store)
    pulled = api.pull(sent.reference, store=store)
    assert pulled.name == "small:int8/package"
    assert store.artifacts.manifest(pulled.digest).kind == "package"
    assert store.artifacts.manifest(pulled.digest).signature == SIGNATURE
    assert sent.reference.endswith(pulled.oci_digest)
    assert "key" in pulled.text()
    # What was pulled can be pushed on as it is.
    assert api.push(pulled.name, registry=f"{registry.url}/other", store=store).digest == pulled.digest
    with pytest.raises(InputError, match="is a package already"):
        api.push(pulled.name, sign=key, registry=registry.url, store=store)


def test_what_no_trusted_key_signed_is_not_taken_in(store, compiled, registry, tmp_path):
    sent = api.push(compiled, registry=registry.url, store=store)
    api.new_key(str(tmp_path / "key"))
    api.trust_key(str(tmp_path / "key.pub"), store=store)
    before = store.artifacts.list()
    with pytest.raises(UntrustedPackage, match="it is not signed"):
        api.pull(sent.reference, store=store)
    assert store.artifacts.list() == before


def test_a_dry_run_names_the_key_and_never_holds_it(store, compiled, tmp_path):
    key = tmp_path / "key"
    api.new_key(str(key))
    recipe = json.dumps(api.push(compiled, sign=str(key), dry_run=True, store=store).recipe)
    assert str(key) in recipe
    assert key.read_text().splitlines()[1] not in recipe


def test_texts_that_cannot_work(store, compiled, tmp_path):
    with pytest.raises(InputError, match="no place in a registry"):
        api.push(compiled, registry="127.0.0.1:5000", store=store)
    with pytest.raises(InputError, match="no place in a registry"):
        api.pull("minilm", store=store)
    with pytest.raises(MissingInput, match="no key"):
        api.push(compiled, sign=str(tmp_path / "none"), registry="http://127.0.0.1:9", store=store)
    with pytest.raises(RegistryError, match="does not answer"):
        api.push(compiled, registry="http://127.0.0.1:9", store=store)


def test_without_a_trusted_key_nothing_has_to_be_signed(store):
    assert "nothing has to be signed" in api.trusted_keys(store=store).text()


def test_a_package_is_unpacked_on_a_machine_without_a_store(store, compiled, registry, tmp_path):
    key = str(tmp_path / "key")
    api.new_key(key)
    sent = api.push(compiled, sign=key, registry=registry.url, store=store)
    api.pull(sent.reference, out=str(tmp_path / "bundle"), trust=[f"{key}.pub"])
    assert (tmp_path / "bundle" / "model.onnx").read_bytes() == b"model"
    api.new_key(str(tmp_path / "other"))
    with pytest.raises(UntrustedPackage):
        api.pull(sent.reference, out=str(tmp_path / "refused"), trust=[str(tmp_path / "other.pub")])
    assert not (tmp_path / "refused").exists()


def test_manifests_for_a_cluster(store, compiled, registry, tmp_path):
    out = str(tmp_path / "manifests")
    kserve = api.export_manifests("kserve", compiled, registry=registry.url, out=out, canary=0.1, store=store)
    (service,) = yaml.safe_load_all(Path(kserve.file).read_text())
    uri = service["spec"]["predictor"]["model"]["storageUri"]
    assert uri.startswith(f"oci://127.0.0.1:{registry.port}/small:int8-image@sha256:")
    plain = api.export_manifests(
        "kubernetes", compiled, registry=registry.url, out=out, image="workbench:1", store=store
    )
    kinds = [document["kind"] for document in yaml.safe_load_all(Path(plain.file).read_text())]
    assert kinds == ["Deployment", "Service", "HorizontalPodAutoscaler"]
    with pytest.raises(InputError, match="which container image"):
        api.export_manifests("kubernetes", compiled, registry=registry.url, out=out, store=store)
    with pytest.raises(InputError, match="go together"):
        api.export_manifests(
            "kubernetes", compiled, registry=registry.url, out=out, image="w:1", canary=0.1, store=store
        )
