"""The store as a whole: where it lies, what opening costs, its key, what a broken file says."""

import os
import sqlite3
import stat
import subprocess
import sys

import pytest

from workbench.errors import NotWritable, StoreError
from workbench.store import Store


def test_the_default_home(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "elsewhere"))
    assert Store().home == tmp_path / "elsewhere"
    monkeypatch.delenv("MLOPS_HOME")
    monkeypatch.chdir(tmp_path)
    assert Store().home == tmp_path / ".mlops"


def test_opening_imports_nothing_heavy(tmp_path):
    code = (
        "import sys, pathlib; from workbench.store import Store; Store(pathlib.Path(sys.argv[1]));"
        "print(sorted({'torch', 'numpy', 'onnx', 'pandas', 'asyncio'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout == "[]\n"


def test_the_key_is_private_and_stays(store):
    key = store.key()
    assert len(key) == 32
    assert store.key() == key
    assert Store(store.home).key() == key
    assert stat.S_IMODE((store.home / "key").stat().st_mode) == 0o600


def test_two_stores_have_two_keys(tmp_path):
    assert Store(tmp_path / "a").key() != Store(tmp_path / "b").key()


def test_a_newer_store_is_refused(store):
    store.close()
    database = sqlite3.connect(store.home / "workbench.db")
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(StoreError, match="version 99") as caught:
        Store(store.home)
    assert caught.value.fix == "upgrade the workbench"


def test_a_file_that_is_no_database_is_said_so(tmp_path):
    (tmp_path / "workbench.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path)


def test_a_child_process_gets_its_own_connection(store):
    store.events.append("r", 0, "x")
    pid = os.fork()
    if pid == 0:
        try:
            store.events.append("r", 0, "y")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    store.events.append("r", 0, "z")
    assert [event.kind for event in store.events.since(0)] == ["x", "y", "z"]


def test_a_failed_transaction_changes_nothing(store):
    with pytest.raises(ZeroDivisionError), store.database.transaction() as connection:
        connection.execute("INSERT INTO cache VALUES ('k', '{}', 0)")
        _ = 1 / 0
    assert store.results.get("k") is None


@pytest.mark.parametrize("place", ["file", "file/home", "/proc/home"])
def test_a_home_that_cannot_be_made_is_refused(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable, match="cannot be made or written") as caught:
        Store(tmp_path / place)
    assert caught.value.where == str(tmp_path / place)
    assert "MLOPS_HOME" in caught.value.fix


def test_a_store_that_may_only_be_read_says_so(small_disk):
    Store(small_disk / "home").close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(NotWritable, match="database cannot be opened for writing") as caught:
        Store(small_disk / "home")
    assert "MLOPS_HOME" in caught.value.fix
