"""Manifests against the published schemas, and a model image as any container tool reads it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_validate import ValidationError, validate

from tests.package.conftest import RunningRegistry, do_pack
from workbench.errors import InputError, PackageError
from workbench.package import Reference, inspect
from workbench.package.manifests import dump
from workbench.package.manifests.kserve import inference_service
from workbench.package.manifests.kubernetes import Plan, Track, documents
from workbench.package.model_image import push_model_image
from workbench.package.registry import Registry

VERSIONS = ("1.28", "1.31", "1.37")
REFERENCE = "http://registry:5000/models/tiny:int8@sha256:" + "0" * 64
CUSTOM = {"ScaledObject", "HTTPRoute", "InferenceService"}


def plan(**changes: Any) -> Plan:
    facts: dict[str, Any] = {"name": "tiny", "image": "registry:5000/workbench:1"}
    return Plan(**{**facts, "stable": Track("stable", REFERENCE, "3", 2), **changes})


CASES = {
    "plain": plan(),
    "signed": plan(trusted=("-----BEGIN PUBLIC KEY-----\n...",)),
    "canary": plan(canary=Track("canary", REFERENCE, "4"), weight=10),
    "keda": plan(keda=True),
}


def by_kind(one: Plan) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for document in documents(one):
        found.setdefault(document["kind"], []).append(document)
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CASES)
def test_the_published_schemas_take_them(name: str, version: str) -> None:
    checked = 0
    for document in yaml.safe_load_all(dump(documents(CASES[name]))):
        if document["kind"] not in CUSTOM:
            validate(document, version, strict=True)
            checked += 1
    assert checked >= 2


def test_the_check_can_fail() -> None:
    (deployment,) = by_kind(plan())["Deployment"]
    deployment["spec"]["replicas"] = "two"
    with pytest.raises(ValidationError):
        validate(deployment, "1.31", strict=True)


def test_the_text_is_what_the_documents_are() -> None:
    for one in CASES.values():
        assert list(yaml.safe_load_all(dump(documents(one)))) == documents(one)


PLAIN = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=12)
TREES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=6), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(min_size=1, max_size=6), TREES, min_size=1, max_size=4))
def test_any_plain_document_survives_its_yaml(document: dict[str, Any]) -> None:
    assert yaml.safe_load(dump([document])) == document


def test_selectors_find_the_pods_of_their_track_only() -> None:
    found = by_kind(CASES["canary"])
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in found["Deployment"]]
    for at, service in enumerate(found["Service"]):
        chosen = service["spec"]["selector"].items()
        assert [chosen <= labels.items() for labels in pods] == [at == 0, at == 1]
    (route,) = found["HTTPRoute"]
    backends = route["spec"]["rules"][0]["backendRefs"]
    assert [(one["name"], one["weight"]) for one in backends] == [("tiny-stable", 90), ("tiny-canary", 10)]


def test_a_pod_fetches_exactly_this_package_and_checks_its_signature() -> None:
    found = by_kind(CASES["signed"])
    (fetch,) = found["Deployment"][0]["spec"]["template"]["spec"]["initContainers"]
    assert fetch["command"][2:] == [REFERENCE, "--out", "/model/bundle", "--trust", "/keys/0.pub"]
    assert found["ConfigMap"][0]["metadata"]["name"] == "tiny-keys"


def test_the_replicas_own_command_line_takes_what_is_written() -> None:
    from workbench.serve.options import parser

    (container,) = by_kind(plan())["Deployment"][0]["spec"]["template"]["spec"]["containers"]
    options = parser().parse_args(container["command"][3:])
    assert (options.host, options.port, options.grpc_port) == ("0.0.0.0", 8080, 9000)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Tiny"},
        {"name": "a" * 60},
        {"name": "x\n"},
        {"weight": 10},
        {"canary": Track("canary", REFERENCE, "4")},
        {"canary": Track("canary", REFERENCE, "4"), "weight": 101},
    ],
)
def test_plans_that_no_cluster_takes(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        plan(**changes)


def test_an_inference_service_reads_an_oci_image(compiled: Path, tmp_path: Path) -> None:
    do_pack(compiled, tmp_path / "package")
    package = inspect(tmp_path / "package")
    document = inference_service("tiny", package, storage_uri="oci://r/tiny:1", canary_percent=10)
    predictor = document["spec"]["predictor"]
    assert document["apiVersion"] == "serving.kserve.io/v1beta1"
    assert (predictor["canaryTrafficPercent"], predictor["model"]["storageUri"]) == (10, "oci://r/tiny:1")
    (compiled / "model.onnx").rename(compiled / "program.pt2")
    do_pack(compiled, tmp_path / "other")
    with pytest.raises(InputError, match="serve no model of this format"):
        inference_service("tiny", inspect(tmp_path / "other"))


def image_of(place: Reference) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """Return manifest, config and layers as a container tool would fetch them."""
    from workbench.package.layout import MANIFEST, Descriptor

    registry = Registry(place)
    manifest = json.loads(registry.manifest(place.digest, MANIFEST) or b"")
    blobs = [
        registry.document(Descriptor(one["mediaType"], one["digest"], one["size"]))
        for one in (manifest["config"], *manifest["layers"])
    ]
    registry.close()
    return manifest, json.loads(blobs[0]), blobs[1:]


def test_a_model_image_holds_the_files_and_is_the_same_each_time(
    compiled: Path, tmp_path: Path, registry: RunningRegistry
) -> None:
    do_pack(compiled, tmp_path / "package")
    places = []
    for number in range(2):
        scratch = tmp_path / f"scratch-{number}"
        scratch.mkdir()
        where = Reference.parse(f"{registry.url}/tiny:{number}")
        places.append(push_model_image(tmp_path / "package", where, scratch, name="tiny"))
    assert places[0].digest == places[1].digest
    _, config, (layer,) = image_of(places[0])
    assert len(config["rootfs"]["diff_ids"]) == 1
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        files = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]
        assert {one.name for one in tar if one.isdir()} >= {"models", "models/tiny", "models/tiny/1"}
        assert all((one.mtime, one.uid, one.uname) == (0, 0, "") for one in tar)
    assert files == {
        f"models/tiny/1/{path.relative_to(compiled).as_posix()}": path.read_bytes()
        for path in compiled.rglob("*")
        if path.is_file()
    }


def test_a_model_image_lies_on_a_base(compiled: Path, tmp_path: Path, registry: RunningRegistry) -> None:
    do_pack(compiled, tmp_path / "package")
    (tmp_path / "one").mkdir()
    base = push_model_image(tmp_path / "package", place(registry, "base"), tmp_path / "one", name="below")
    (tmp_path / "two").mkdir()
    made = push_model_image(
        tmp_path / "package", place(registry, "tiny"), tmp_path / "two", name="tiny", base=base
    )
    manifest, config, layers = image_of(made)
    assert len(layers) == len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == 2
    other = Reference.parse("http://elsewhere:1/base")
    with pytest.raises(PackageError, match="in another registry"):
        push_model_image(tmp_path / "package", place(registry, "tiny"), tmp_path, name="tiny", base=other)


def place(registry: RunningRegistry, name: str) -> Reference:
    return Reference.parse(f"{registry.url}/{name}:1")
