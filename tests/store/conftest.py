"""A store in a temporary folder, and short ways to put things into it."""

import pytest

from workbench.store import ArtifactDraft, Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "home")
    yield store
    store.close()


@pytest.fixture
def put(store, tmp_path):
    """Put an artifact from texts by path: ``put({"a.txt": "hello"}, kind=..., parents=...)``."""

    def put(files, kind="data", **draft):
        folder = store.scratch()
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return store.artifacts.put(ArtifactDraft(kind, folder, **draft))

    return put
