"""For whom a file is probed: for all that map it only where its owner asks."""

import os

from workbench.trace.reach import Reach


def _opened(path):
    path.write_bytes(b"code")
    return os.open(path, os.O_RDONLY)


def test_only_a_file_of_the_clients_own_is_probed_for_everybody(tmp_path):
    files = [_opened(tmp_path / "one"), _opened(tmp_path / "two")]
    pid, uid = os.getpid(), os.getuid()
    try:
        assert Reach(uid, pid, pid).decide(files) == {0, 1}
        assert Reach(uid + 1, pid, pid).decide(files) == set()
        assert Reach(0, pid, pid).decide(files) == {0, 1}
    finally:
        for file in files:
            os.close(file)


def test_what_was_decided_stays(tmp_path):
    files = [_opened(tmp_path / "one"), _opened(tmp_path / "two")]
    pid = os.getpid()
    reach = Reach(os.getuid(), pid, pid)
    try:
        reach.keep(files, {1})
        assert reach.settled(files) == {1}
        assert reach.decide(files) == {1}
    finally:
        for file in files:
            os.close(file)
