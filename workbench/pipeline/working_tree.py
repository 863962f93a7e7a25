"""The user's code exactly as it was when a run started: a git tree, with every change not yet committed.

A copy of the index is brought up to date and written as a tree (``git add``, ``git write-tree``). Index and
repository stay as they are: new objects go into the store's folder ``sources/``, which alternates with the
repository's own, so the tree can be read back as long as the store lives. Large files that git does not track
are left out by name.

https://git-scm.com/docs/git-write-tree, https://git-scm.com/docs/gitrepository-layout (alternates)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ..errors import InputError

_LARGEST_BYTES = 4 << 20
_ALL_BYTES = 64 << 20
_TIMEOUT_S = 20.0
_NAMED = 50


def working_tree(where: Path, objects: Path) -> dict[str, Any]:
    """Return which tree the code in a folder is.

    Parameters
    ----------
    where
        A folder; its repository is looked at as a whole.
    objects
        Folder for objects that the repository does not have.

    Returns
    -------
    dict
        ``root``, ``commit`` (empty before the first one), ``tree``, ``changed`` (paths that differ from the
        commit, at most 50), ``dirty`` (how many) and ``left_out`` (untracked files too large to keep); or just
        ``missing``, saying why there is no tree.
    """
    try:
        return _tree(where, objects)
    except FileNotFoundError:
        return {"missing": "git is not installed"}
    except subprocess.TimeoutExpired:
        return {"missing": f"git took more than {_TIMEOUT_S:.0f} s"}
    except subprocess.CalledProcessError as error:
        text = error.stderr.decode(errors="replace").strip()
        return {"missing": text.partition("\n")[0].removeprefix("fatal: ") or "git failed"}


def write_tree(facts: dict[str, Any], objects: Path, out: Path) -> int:
    """Write the files of a recorded tree into a folder and return how many.

    Raises
    ------
    InputError
        If there is no tree, `out` is taken, or its objects are gone (the repository was moved or tidied).
    """
    tree, root = facts.get("tree", ""), Path(facts.get("root", ""))
    if not tree:
        raise InputError(f"no tree was recorded: {facts.get('missing', 'unknown')}", where="lineage")
    if out.exists():
        raise InputError("the folder exists already", where=str(out), fix="choose another")
    objects.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            asked = _git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects")
            variables = _variables(Path(scratch), objects, Path(_lines(asked)[0]))
            _git(root, "read-tree", tree, variables=variables)
            out.mkdir(parents=True)
            _git(root, "checkout-index", "--all", f"--prefix={out.absolute()}/", variables=variables)
        except (subprocess.CalledProcessError, FileNotFoundError, NotADirectoryError) as error:
            raise InputError(
                f"the tree {tree[:12]} cannot be read", where=str(root), fix="is the repository still there?"
            ) from error
    return sum(path.is_file() for path in out.rglob("*"))


def _tree(where: Path, objects: Path) -> dict[str, Any]:
    root, index, theirs, commit, committed = _asked(where)
    objects.mkdir(parents=True, exist_ok=True)
    changes, taken, left_out = _status(root, objects)
    if commit and not changes and not taken:  # the commit is all there is
        return _facts(root, commit, committed, [], left_out)
    with tempfile.TemporaryDirectory() as scratch:
        variables = _variables(Path(scratch), objects, theirs)
        if index.is_file():  # a copy keeps what git knows of unchanged files: nothing is hashed again
            shutil.copyfile(index, variables["GIT_INDEX_FILE"])
        _git(root, "add", "--update", variables=variables)
        if taken:
            literal = {**variables, "GIT_LITERAL_PATHSPECS": "1"}
            listed = ("--pathspec-from-file=-", "--pathspec-file-nul")
            _git(root, "add", *listed, variables=literal, stdin=b"\0".join(taken))
        tree = _lines(_git(root, "write-tree", variables=variables))[0]
        return _facts(root, commit, tree, _changed(root, committed, tree, variables), left_out)


def _facts(root: Path, commit: str, tree: str, changed: list[str], left_out: list[str]) -> dict[str, Any]:
    return {
        "root": str(root),
        "commit": commit,
        "tree": tree,
        "dirty": len(changed),
        "changed": changed[:_NAMED],
        "left_out": left_out[:_NAMED],
    }


def _asked(where: Path) -> tuple[Path, Path, Path, str, str]:
    """Return the root, the index, the folder of objects, the commit and its tree (empty before the first)."""
    places = ("--show-toplevel", "--git-path", "index", "--git-path", "objects")
    try:
        lines = _lines(_git(where, "rev-parse", "--path-format=absolute", *places, "HEAD", "HEAD^{tree}"))
    except subprocess.CalledProcessError as error:
        lines = [*_lines(error.stdout)[:3], "", ""]
        if len(lines) < 5:
            raise  # no repository; one without a commit still told its places
    root, index, theirs = (Path(line) for line in lines[:3])
    return root, index, theirs, lines[3], lines[4]


def _status(root: Path, objects: Path) -> tuple[int, list[bytes], list[str]]:
    """Return how many tracked files differ from the commit, untracked ones to take, names of those too large."""
    home, left = objects.parent.resolve(), _ALL_BYTES
    changes, taken, left_out = 0, list[bytes](), list[str]()
    asked = ("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
    for line in _git(root, *asked).split(b"\0"):
        name = line[3:]
        path = root / os.fsdecode(name)
        if not line.startswith(b"?? "):
            changes += bool(line)
            continue
        if name.endswith(b"/") or path.resolve().is_relative_to(home):
            continue
        try:
            size = path.lstat().st_size
        except FileNotFoundError:
            continue
        if size > _LARGEST_BYTES or size > left:
            left_out.append(os.fsdecode(name))
        else:
            left -= size
            taken.append(name)
    return changes, taken, left_out


def _changed(root: Path, before: str, after: str, variables: dict[str, str]) -> list[str]:
    if before == after:
        return []
    if not before:
        names = _git(root, "ls-tree", "-r", "-z", "--name-only", after, variables=variables)
    else:
        names = _git(root, "diff-tree", "-r", "-z", "--name-only", before, after, variables=variables)
    return [os.fsdecode(name) for name in names.split(b"\0") if name]


def _variables(scratch: Path, objects: Path, theirs: Path) -> dict[str, str]:
    return {
        "GIT_INDEX_FILE": str(scratch / "index"),
        "GIT_OBJECT_DIRECTORY": str(objects),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(theirs),
    }


def _git(where: Path, *arguments: str, variables: dict[str, str] | None = None, stdin: bytes = b"") -> bytes:
    return subprocess.run(
        ["git", "-C", str(where), *arguments],
        input=stdin,
        capture_output=True,
        check=True,
        timeout=_TIMEOUT_S,
        env={**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", **(variables or {})},
    ).stdout


def _lines(text: bytes) -> list[str]:
    return [os.fsdecode(line) for line in text.splitlines()]
