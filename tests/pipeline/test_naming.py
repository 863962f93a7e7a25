"""What outputs are called, and what push and profile take a name to mean."""

import pytest

from workbench.errors import InputError, UnknownArtifact
from workbench.pipeline.naming import as_name, compiled_name, compiled_of, variant_name
from workbench.store import ArtifactDraft


@pytest.fixture
def put(store):
    def put(name, kind, *parents):
        folder = store.scratch()
        (folder / "f").write_text(name)
        digest = store.artifacts.put(ArtifactDraft(kind, folder, parents=parents))
        store.names.set(name, digest)
        return digest

    return put


def test_names_of_outputs(store, put):
    digest = put("minilm", "program")
    assert variant_name(store, "minilm", "int8") == "minilm:int8"
    assert variant_name(store, digest, "int8") == "minilm:int8"
    assert variant_name(store, f"minilm@{digest[:15]}", "int8") == "minilm:int8"
    assert compiled_name(store, "minilm", "eager") == "minilm/eager"
    assert compiled_name(store, "minilm:int8", "onnxruntime") == "minilm:int8/onnxruntime"


def test_a_nameless_artifact_needs_a_name(store, put):
    digest = put("minilm", "program")
    store.names.remove("minilm")
    with pytest.raises(InputError, match="no name to build on") as caught:
        variant_name(store, digest, "int8")
    assert caught.value.fix == "give --name NAME"


def test_a_variant_means_what_was_compiled_from_it_last(store, put):
    program = put("minilm", "program")
    variant = put("minilm:int8", "variant", program)
    with pytest.raises(UnknownArtifact, match="minilm:int8 has not been compiled") as caught:
        compiled_of(store, "minilm:int8")
    assert caught.value.fix == "%mlops compile minilm:int8 --backend onnxruntime"
    put("minilm:int8/eager", "compiled", variant)
    last = put("minilm:int8/onnxruntime", "compiled", variant)
    package = put("minilm@staging", "package", last)
    assert compiled_of(store, "minilm:int8") == last
    assert compiled_of(store, "minilm:int8/onnxruntime") == last
    assert compiled_of(store, package) == last
    with pytest.raises(UnknownArtifact):
        compiled_of(store, "minilm")


@pytest.mark.parametrize(
    ("text", "name"), [("a b", "a-b"), ("Net", "Net"), ("../x/net.v2", "x-net.v2"), ("---", "model")]
)
def test_any_text_makes_a_name(text, name):
    assert as_name(text) == name
