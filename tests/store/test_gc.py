"""gc: what is referred to stays, the rest goes, nothing in between is seen."""

import os
import subprocess
import sys

from workbench.store import ArtifactDraft, owner


def test_everything_referred_to_stays(store, put):
    ancestor = put({"f": "ancestor"})
    named = put({"f": "named"}, parents=(ancestor,))
    used, deployed, unused = put({"f": "used"}), put({"f": "deployed"}), put({"f": "unused"})
    store.names.set("n", named)
    run = store.runs.create("[]", ["call"])
    store.runs.refer(run, 0, "output", used)
    store.deployments.put("d", "staging", {"versions": [{"package": deployed}]})
    report = store.gc(grace_s=0)
    assert report.artifacts == 1
    assert report.freed_bytes >= len("unused")
    assert not store.artifacts.exists(unused)
    for digest in (ancestor, named, used, deployed):
        store.artifacts.verify(digest)
    assert store.gc(grace_s=0).artifacts == 0


def test_forgetting_a_run_frees_what_only_it_kept(store, put):
    digest = put({"f": "x"})
    run = store.runs.create("[]", ["call"])
    store.runs.refer(run, 0, "output", digest)
    store.runs.remove(run)
    assert store.gc(grace_s=0).artifacts == 1


def test_a_fresh_artifact_is_spared(store, put):
    digest = put({"f": "x"})
    assert store.gc().artifacts == 0
    assert store.artifacts.exists(digest)


def test_unlisted_folders_and_blobs_go(store, put):
    put({"f": "x"})
    orphan = store.home / "artifacts" / ("0" * 64)
    orphan.mkdir()
    (orphan / "f").write_text("half")
    (store.home / "blobs" / ("1" * 64)).write_text("half")
    report = store.gc()
    assert (report.orphans, report.blobs) == (1, 1)
    assert not orphan.exists()


def test_scratch_of_the_dead_goes_and_of_the_living_stays(store, monkeypatch):
    monkeypatch.setenv("MLOPS_HOME", str(store.home))
    mine = store.scratch()
    code = "import sys; from workbench.store import Store; print(Store().scratch())"
    command = [sys.executable, "-c", code]
    theirs = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    assert store.gc().scratch == 1
    assert mine.exists()
    assert not (store.home / "scratch" / theirs.rpartition("/")[2]).exists()


def test_scratch_handed_to_a_living_process_outlives_its_maker(store):
    left = store.home / "scratch" / "1:1:gone:handed"
    left.mkdir()
    owner.hand_over(left, os.getpid())
    assert store.gc().scratch == 0
    owner.hand_over(left, 2**22)  # no such process
    assert store.gc().scratch == 1


def test_a_removed_artifact_can_be_put_again(store, put):
    digest = put({"f": "x"})
    store.gc(grace_s=0)
    folder = store.scratch()
    (folder / "f").write_text("x")
    assert store.artifacts.put(ArtifactDraft("data", folder)) == digest
    store.artifacts.verify(digest)
