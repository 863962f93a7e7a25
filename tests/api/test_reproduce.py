"""What differs between two models, and making one again."""

import pytest

import workbench as wb
from tests.api.conftest import build
from workbench.errors import CorruptArtifact, RunError, StorageFull
from workbench.store.environments import Environments


@pytest.fixture
def small(store, batch):
    """A program that can be made again: captured from an importable function."""
    return wb.capture(build, batch, name="small", store=store)


def rows(result):
    return {tuple(row[:2]): tuple(row[2:]) for row in result.tables[0].rows}


def test_a_variant_is_made_again_digest_for_digest(store, small, batch):
    first = wb.quantize("small", calibrate=[batch], evaluate=score, store=store)
    again = wb.reproduce("small:int8", store=store)
    assert again.reproduced
    assert again.same_bytes
    assert again.digest == first.digest
    assert again.run != first.run
    assert "reproduced, digest for digest" in repr(again)
    assert store.runs.get(again.run).steps_cached == 0, "it was taken from the cache"


def score(session):
    return 1.0


def test_the_whole_chain_is_made_again(store, small, batch):
    wb.quantize("small", calibrate=[batch], store=store)
    wb.compile("small:int8", store=store)
    assert all(wb.reproduce(name, store=store).reproduced for name in ("small", "small:int8/onnxruntime"))


def test_a_live_module_is_gone(store, captured):
    with pytest.raises(RunError, match="live module of a notebook, which is gone") as caught:
        wb.reproduce("small", store=store)
    assert "%mlops capture module:function" in caught.value.fix


def test_an_artifact_of_another_store(store, small):
    for run in store.runs.list():
        store.runs.remove(run.id)
    with pytest.raises(RunError, match="no run of this store made it"):
        wb.reproduce("small", store=store)


def test_what_differs_comes_with_its_causes_first(store, small, batch):
    wb.quantize("small", mode="dynamic", name="one", store=store)
    wb.quantize("small", mode="dynamic", skip=("second",), name="other", store=store)
    found = rows(wb.diff("one", "other", store=store))
    assert found["step", "config.skip"] == ("[]", '["second"]')
    assert ("figure", "quantized_share") in found
    assert ("file", "program.pt2") in found
    aspects = [aspect for aspect, _ in found]
    assert aspects.index("step") < aspects.index("file") < aspects.index("figure")
    assert not {"code", "environment", "input", "kind"} & set(aspects)


def test_nothing_differs_from_itself(store, small):
    result = wb.diff("small", "small", store=store)
    assert result.different == 0
    assert "nothing differs" in repr(result)


def test_packages_are_named(store, small):
    from workbench.pipeline import environment

    before = wb.quantize("small", mode="dynamic", name="before", store=store)
    text = environment.lock_text().replace('"numpy==', '"numpy==0.0.1+')
    after = relabel(store, before.digest, store.environments.keep(text))
    ((aspect, what, old, new),) = wb.diff(before.digest, after, store=store).tables[0].rows[:1]
    assert (aspect, what) == ("environment", "numpy")
    assert new == f"0.0.1+{old}"
    unknown = relabel(store, before.digest, "sha256:" + "0" * 64)
    ((aspect, what, *_),) = wb.diff(before.digest, unknown, store=store).tables[0].rows[:1]
    assert (aspect, what) == ("environment", "lock")


def relabel(store, digest, environment):
    """Store the same files as made in another environment."""
    import shutil

    from workbench.store import ArtifactDraft

    manifest = store.artifacts.manifest(digest)
    folder = store.scratch() / "files"
    shutil.copytree(store.artifacts.path(digest), folder, ignore=shutil.ignore_patterns("manifest.json"))
    draft = ArtifactDraft(
        manifest.kind,
        folder,
        signature=manifest.signature,
        parents=manifest.parents,
        step=manifest.step,
        code=manifest.code,
        metrics=manifest.metrics,
        environment=environment,
    )
    return store.artifacts.put(draft)


def test_a_lock_is_kept_once_and_checked(tmp_path):
    environments = Environments(tmp_path)
    digest = environments.keep("{}")
    assert environments.keep("{}") == digest
    assert environments.text(digest) == "{}"
    assert environments.text("sha256:" + "1" * 64) is None
    path = tmp_path / "environments" / digest.removeprefix("sha256:")
    path.chmod(0o600)
    path.write_text("{ }")
    with pytest.raises(CorruptArtifact, match="does not match its digest"):
        environments.text(digest)


def test_a_full_disk_says_so(small_disk):
    environments = Environments(small_disk)
    with pytest.raises(StorageFull):
        for size in range(1, 20):
            environments.keep("x" * 1_000_000 + str(size))
