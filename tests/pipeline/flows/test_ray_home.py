"""Folders of Ray workers: one belongs to its worker until that ends, and then goes, however it ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import sys
from workbench.pipeline.executors.ray_home import open_home
from workbench.store import Store
store = Store(open_home())
print(store.home, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Start a worker whose temporary folder is the test's; return its process and its folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process, Path(process.stdout.readline().strip())

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=60)


def test_what_a_killed_worker_left_goes_at_the_next_start_and_nothing_else(worker, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "mlops-ray-new").mkdir()  # made, and not locked yet
    killed, left = worker()
    _, lives = worker()
    assert (left / "workbench.db").exists(), "a living worker's folder was taken"
    killed.kill()
    killed.wait(60)
    assert left.exists()
    _, third = worker()
    assert {path.name for path in tmp_path.iterdir()} == {"other", "mlops-ray-new", lives.name, third.name}
    assert (lives / "workbench.db").exists()


def test_a_worker_that_ends_by_itself_leaves_nothing(worker, tmp_path):
    process, home = worker()
    assert home.parent == tmp_path
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not home.exists()


def test_a_link_is_not_followed(worker, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "mlops-ray-link").symlink_to("kept")
    worker()
    assert (tmp_path / "kept" / "file").exists()
