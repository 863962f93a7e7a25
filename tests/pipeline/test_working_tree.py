"""The user's code as a git tree: exact, with what is not committed, and without touching the repository."""

import subprocess

import pytest

from workbench.errors import InputError
from workbench.pipeline.working_tree import working_tree, write_tree


@pytest.fixture
def git(tmp_path):
    """A repository with one commit; call it to run git there."""
    root = tmp_path / "project"
    root.mkdir()

    def run(*arguments):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(
            ["git", "-C", str(root), *who, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    run("init", "-q")
    (root / "train.py").write_text("x = 1\n")
    (root / ".gitignore").write_text("*.log\n")
    run("add", ".")
    run("commit", "-qm", "first")
    run.root = root
    return run


def test_a_clean_tree_is_the_commits(git, tmp_path):
    facts = working_tree(git.root, tmp_path / "home" / "sources")
    assert facts["commit"] == git("rev-parse", "HEAD")
    assert facts["tree"] == git("rev-parse", "HEAD^{tree}")
    assert (facts["dirty"], facts["changed"], facts["left_out"]) == (0, [], [])


def test_what_is_not_committed_is_in_the_tree_and_can_be_read_back(git, tmp_path):
    (git.root / "train.py").write_text("x = 2\n")
    (git.root / "sub").mkdir()
    (git.root / "sub" / "new file*.py").write_text("y\n")
    (git.root / "ignored.log").write_text("z\n")
    before = git("status", "--porcelain"), git("count-objects")
    facts = working_tree(git.root / "sub", tmp_path / "home" / "sources")
    assert facts["changed"] == ["sub/new file*.py", "train.py"]
    assert facts["dirty"] == 2
    assert (git("status", "--porcelain"), git("count-objects")) == before, "the repository is as it was"
    (git.root / "train.py").write_text("x = 3\n")
    assert write_tree(facts, tmp_path / "home" / "sources", tmp_path / "out") == 3
    assert (tmp_path / "out" / "train.py").read_text() == "x = 2\n"
    assert (tmp_path / "out" / "sub" / "new file*.py").read_text() == "y\n"
    assert working_tree(git.root, tmp_path / "home" / "sources")["tree"] != facts["tree"]


def test_a_deleted_file_and_a_staged_one(git, tmp_path):
    (git.root / "train.py").unlink()
    (git.root / "staged.py").write_text("s\n")
    git("add", "staged.py")
    facts = working_tree(git.root, tmp_path / "home" / "sources")
    assert facts["changed"] == ["staged.py", "train.py"]
    write_tree(facts, tmp_path / "home" / "sources", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".gitignore", "staged.py"]


def test_large_untracked_files_and_the_store_are_left_out(git, tmp_path):
    with (git.root / "weights.bin").open("wb") as file:
        file.truncate(5 << 20)
    (git.root / ".mlops" / "artifacts").mkdir(parents=True)
    (git.root / ".mlops" / "artifacts" / "x").write_text("x")
    facts = working_tree(git.root, git.root / ".mlops" / "sources")
    assert facts["left_out"] == ["weights.bin"]
    assert facts["dirty"] == 0


def test_a_repository_without_a_commit(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path / "fresh")], check=True)
    (tmp_path / "fresh" / "a.py").write_text("a\n")
    facts = working_tree(tmp_path / "fresh", tmp_path / "home" / "sources")
    assert (facts["commit"], facts["changed"]) == ("", ["a.py"])


def test_no_repository_and_no_git_are_said(tmp_path, monkeypatch):
    assert "not a git repository" in working_tree(tmp_path, tmp_path / "home" / "sources")["missing"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert working_tree(tmp_path, tmp_path / "home" / "sources") == {"missing": "git is not installed"}


def test_a_tree_that_cannot_be_read_back(git, tmp_path):
    facts = working_tree(git.root, tmp_path / "home" / "sources")
    with pytest.raises(InputError, match="not a git"):
        write_tree({"missing": "not a git repository"}, tmp_path / "home" / "sources", tmp_path / "out")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="exists already"):
        write_tree(facts, tmp_path / "home" / "sources", tmp_path / "taken")
    with pytest.raises(InputError, match="cannot be read"):
        write_tree({**facts, "tree": "1" * 40}, tmp_path / "home" / "sources", tmp_path / "out")
    assert not (tmp_path / "out").exists()
