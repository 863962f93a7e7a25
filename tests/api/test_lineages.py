"""lineage, reproduce and diff as a user calls them, on a captured and compiled network."""

import json
import subprocess

import pytest

from workbench import api
from workbench.errors import InputError, UntrustedPackage
from workbench.package.keys import new_key, read_public
from workbench.package.signature import verify


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Work in a repository with a change that is not committed."""
    root = tmp_path / "project"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "train.py").write_text("x = 2\n")
    monkeypatch.chdir(root)
    return root


@pytest.mark.slow
def test_lineage_answers_and_reproduce_repeats(store, project, captured, tmp_path):
    compiled = api.compile("small", backend="eager", store=store)
    result = api.lineage("small/eager", store=store)
    assert result.answers["code"]["changed"] == ["train.py"]
    assert result.answers["model"] == [captured.digest]
    assert len(result.answers["when"]) == 1
    assert result.edges == [[compiled.digest, captured.digest]]
    below = api.lineage("small", downstream=True, store=store)
    assert "small/eager" in below.text()

    code = tmp_path / "code"
    statement = tmp_path / "statement.json"
    api.lineage("small/eager", code=code, statement=statement, store=store)
    assert (code / "train.py").read_text() == "x = 2\n"
    assert json.loads(statement.read_text())["subject"][0]["name"] == "small/eager"

    again = api.reproduce("small/eager", deep=True, store=store)
    assert again.verdict == "identical"
    assert "live module" in again.text(), "a module of the notebook is taken as it is"


@pytest.mark.slow
def test_a_signed_statement_is_verified_and_a_stranger_is_not(store, captured, tmp_path):
    new_key(tmp_path / "key")
    new_key(tmp_path / "other")
    path = tmp_path / "statement.dsse.json"
    api.lineage("small", statement=path, sign=tmp_path / "key", store=store)
    public, stranger = (read_public(tmp_path / name) for name in ("key.pub", "other.pub"))
    assert verify(captured.digest, [path.read_bytes()], [public]).id == public.id
    with pytest.raises(UntrustedPackage):
        verify(captured.digest, [path.read_bytes()], [stranger])
    with pytest.raises(InputError, match="no folder"):
        api.lineage("small", statement=tmp_path / "no" / "x.json", store=store)
