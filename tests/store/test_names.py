"""Names: the grammar, what they resolve to, and what is suggested."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError, UnknownArtifact
from workbench.store import ArtifactName

part = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)


@given(part.filter(lambda p: p != "sha256"), st.just("") | part, st.just("") | part, st.just("") | part)
def test_a_name_survives_writing_and_reading(base, variant, backend, alias):
    name = ArtifactName(base, variant, backend, alias)
    if variant == "sha256" or alias == "sha256":
        return
    assert ArtifactName.parse(str(name)) == name


@pytest.mark.parametrize(
    "text",
    ["", "a b", ":int8", "a:", "a/", "a@", "a:b:c", "a//b", "../a", "sha256", "a@sha256:XY12", "a@sha256:ab"],
)
def test_what_is_no_name(text):
    with pytest.raises(InputError, match="is not an artifact name"):
        ArtifactName.parse(text)


def test_a_variable_that_is_not_there_is_told_from_a_wrong_name():
    with pytest.raises(InputError, match="is not an artifact name") as caught:
        ArtifactName.parse("$nosuch")
    assert caught.value.fix == "define the variable it stands for"


@pytest.mark.parametrize("name", ["a b", "minilm@sha256:ab12"])
def test_a_name_that_cannot_be_given(store, put, name):
    with pytest.raises(InputError) as caught:
        store.names.set(name, put({"a": "x"}))
    assert (caught.value.where, bool(caught.value.fix)) == (name, True)


def test_a_name_moves_and_its_history_stays_exact(store, put):
    old, new = put({"a": "old"}), put({"a": "new"})
    store.names.set("minilm:int8", old)
    store.names.set("minilm:int8", new)
    assert store.names.resolve("minilm:int8") == new
    assert store.names.resolve(f"minilm:int8@sha256:{old[7:17]}") == old
    with pytest.raises(UnknownArtifact):
        store.names.resolve(f"minilm@sha256:{old[7:17]}")


def test_digests_and_their_prefixes_resolve(store, put):
    digest = put({"a": "x"})
    assert store.names.resolve(digest) == digest
    assert store.names.resolve(digest[:15]) == digest
    with pytest.raises(InputError):
        store.names.resolve("sha256:abc")  # three digits are too few
    with pytest.raises(UnknownArtifact, match="no artifact is"):
        store.names.resolve("sha256:" + "f" * 64)


def test_an_ambiguous_prefix_names_the_candidates(store, put):
    firsts = {}
    for number in range(1000):  # more than 16^4 / 100: some share... found by looking, so bounded
        digest = put({"a": str(number)})
        short = digest[:11]
        if short in firsts:
            with pytest.raises(UnknownArtifact, match="more than one") as caught:
                store.names.resolve(short)
            assert firsts[short][:19] in caught.value.fix
            return
        firsts[short] = digest
    pytest.fail("no two of 1,000 digests share four digits")


def test_an_unknown_name_suggests_near_ones(store, put):
    digest = put({"a": "x"})
    for name in ("minilm", "minilm:int8", "digits"):
        store.names.set(name, digest)
    with pytest.raises(UnknownArtifact, match="no artifact is named 'minilm:int4'") as caught:
        store.names.resolve("minilm:int4")
    assert "minilm:int8" in caught.value.fix
    assert "digits" not in caught.value.fix


def test_an_empty_store_says_how_to_begin(store):
    with pytest.raises(UnknownArtifact) as caught:
        store.names.resolve("minilm")
    assert "%mlops capture" in caught.value.fix


def test_names_of_an_artifact_shortest_first(store, put):
    digest = put({"a": "x"})
    for name in ("minilm@staging", "minilm"):
        store.names.set(name, digest)
    assert store.names.of(digest) == ["minilm", "minilm@staging"]
    assert [row.name for row in store.names.list()] == ["minilm", "minilm@staging"]


def test_a_name_needs_an_artifact_and_an_exact_one_stays(store, put):
    with pytest.raises(UnknownArtifact):
        store.names.set("minilm", "sha256:" + "0" * 64)
    with pytest.raises(InputError, match="cannot be moved"):
        store.names.set("minilm@sha256:abcd", put({"a": "x"}))
