"""The step ``package``: an OCI layout with lineage, the same in every run."""

import json

import pytest

from workbench import codec
from workbench.errors import InputError
from workbench.package import unpack
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.package import PackageStep
from workbench.store import ArtifactDraft
from workbench.types import Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "float32", ("batch", 2)),), (TensorSpec("y", "float32", ("batch", 2)),)
)


@pytest.fixture
def compiled(store):
    """A compiled artifact with a parent; its model is any bytes, packing does not read them."""
    source, folder = store.scratch(), store.scratch()
    (source / "program.pt2").write_bytes(b"program")
    parent = store.artifacts.put(ArtifactDraft("program", source))
    (folder / "model.onnx").write_bytes(b"model")
    (folder / "signature.json").write_text(codec.dumps(SIGNATURE))
    (folder / "backend.json").write_text('{"backend": "onnxruntime"}')
    return store.artifacts.put(ArtifactDraft("compiled", folder, signature=SIGNATURE, parents=(parent,)))


def test_a_package_holds_the_model_and_its_lineage(store, executor, compiled, tmp_path):
    recipe = Recipe((PackageStep(compiled, "small:int8"),))
    (result,) = executor.submit(recipe).results()
    manifest = store.artifacts.manifest(result.output)
    assert manifest.kind == "package"
    assert manifest.parents == (compiled,)
    folder = store.artifacts.path(result.output)
    unpack(folder, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == b"model"
    assert (
        result.details["oci_digest"]
        == json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]
    )
    assert executor.submit(recipe).row.steps_cached == 1


def test_only_a_compiled_artifact_is_packed(store, executor, compiled):
    (program,) = store.artifacts.manifest(compiled).parents
    with pytest.raises(InputError, match="small is a program, only a compiled artifact") as caught:
        executor.submit(Recipe((PackageStep(program, "small"),)))
    assert caught.value.fix == "%mlops compile small --backend onnxruntime"
