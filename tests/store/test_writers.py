"""Many writers at once lose nothing; writers killed at any moment leave a readable store."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from workbench.store import Store

WRITER = str(Path(__file__).with_name("store_writer.py"))


def start(home, tag, count, threads):
    command = [sys.executable, WRITER, str(home), tag, str(count), str(threads)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def check(store, lines):
    """Everything the writers said they wrote is there and whole."""
    for line in lines:
        name, digest, run = line.split()
        assert store.names.resolve(name) == digest
        store.artifacts.verify(digest)
        assert store.runs.get(run).steps[0].verb == "call"
        assert [e.payload["tag"] for e in store.events.since(0, run)] == [name.rpartition("-")[0]]
        assert store.measurements.of(digest)[0].key == "n"


def test_two_processes_of_ten_threads_lose_nothing(tmp_path):
    writers = [start(tmp_path, tag, 3, 10) for tag in ("a", "b")]
    lines = [line for writer in writers for line in writer.communicate(timeout=120)[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(lines) == 60
    store = Store(tmp_path)
    check(store, lines)
    sequence = [event.seq for event in store.events.since(0)]
    assert len(sequence) == 60
    assert sequence == sorted(set(sequence))
    store.close()


def test_a_writer_killed_at_any_moment_leaves_a_readable_store(tmp_path):
    moment = random.Random(7)
    said = []
    for round_ in range(12):
        writer = start(tmp_path, f"w{round_}", 1000, 2)
        first = writer.stdout.readline()  # it writes now; from here on any moment will do
        time.sleep(moment.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate(timeout=30)[0]
        said += [first, *(line for line in rest.splitlines() if line.count(" ") == 2)]
        store = Store(tmp_path)
        for row in store.artifacts.list():
            store.artifacts.verify(row.digest)
        store.close()
    store = Store(tmp_path)
    check(store, [line for line in said if len(line.split()[2]) == 11])
    before = {row.digest for row in store.artifacts.list()}
    store.gc(grace_s=0)
    check(store, [line for line in said if len(line.split()[2]) == 11])
    assert {row.digest for row in store.artifacts.list()} <= before
    assert not list((tmp_path / "scratch").iterdir()), "scratch of the killed writers is still there"
    folders = {f"sha256:{path.name}" for path in (tmp_path / "artifacts").iterdir()}
    assert folders == {row.digest for row in store.artifacts.list()}
    store.close()


def test_first_openers_meet_in_one_database(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    code = "from workbench.store import Store; Store().events.append('r', 0, 'x')"
    openers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(6)]
    assert [opener.wait(60) for opener in openers] == [0] * 6
    store = Store(tmp_path)
    assert len(store.events.since(0)) == 6
    store.close()
