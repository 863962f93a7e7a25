"""A reader sees the old file or the new one; paths stay inside their folder; a full disk loses nothing."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import atomic
from workbench.errors import NotWritable, StorageFull, UnsafePath


def test_write_replaces_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_bytes(path, b"old")
    atomic.write_bytes(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_keeps_the_old_file() -> None:
    # /dev/full answers every write with ENOSPC: the kernel's own full disk.
    with (
        pytest.raises(StorageFull, match="no space left") as caught,
        atomic.disk_guard(Path("x")),
        Path("/dev/full").open("wb", buffering=0) as file,
    ):
        file.write(b"x")
    assert "gc" in caught.value.fix


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR])
def test_what_may_not_be_written_says_which(code: int) -> None:
    with pytest.raises(NotWritable, match="cannot be written") as caught, atomic.disk_guard(Path("x")):
        raise OSError(code, "denied", "x/inner")
    assert caught.value.where == "x/inner"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else for a moment")
def test_what_may_not_be_read_says_so() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "secret"
        file.touch(mode=0o600)
        Path(folder).chmod(0o755)
        os.seteuid(65534)
        try:
            with (
                pytest.raises(NotWritable, match="cannot be read: Permission denied"),
                atomic.disk_guard(file),
            ):
                file.read_bytes()
        finally:
            os.seteuid(0)


def test_a_folder_that_is_a_file_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NotWritable):
        atomic.write_bytes(tmp_path / "file" / "new", b"x")
    assert (tmp_path / "file").read_text() == "kept"


def test_other_errors_pass_through() -> None:
    with pytest.raises(OSError, match="broken"), atomic.disk_guard(Path("x")):
        raise OSError(errno.EIO, "broken")


@pytest.mark.parametrize("relative", ["../x", "/etc/passwd", "a/../../x", "", "a\0b"])
def test_paths_that_leave_are_refused(tmp_path: Path, relative: str) -> None:
    with pytest.raises(UnsafePath):
        atomic.inside(tmp_path, relative)


def test_links_that_leave_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    with pytest.raises(UnsafePath):
        atomic.inside(tmp_path, "link/etc/passwd")


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), min_size=1, max_size=4))
def test_plain_paths_are_kept(parts: list[str]) -> None:
    folder = Path("/nonexistent")
    assert atomic.inside(folder, "/".join(parts)) == folder.joinpath(*parts)
