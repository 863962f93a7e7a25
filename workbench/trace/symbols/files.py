"""Files a process has mapped, found from outside: its root, or what is mounted where, may differ from ours."""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path


def device_and_inode(status: os.stat_result) -> tuple[str, str]:
    """Return a file's device and inode as ``/proc/PID/maps`` writes them.

    Examples
    --------
    >>> device_and_inode(os.stat_result((0o100644, 260386, 64768, 1, 0, 0, 0, 0, 0, 0)))
    ('fd:00', '260386')
    """
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", str(status.st_ino)


def mapped_file(pid: int, path: str, device: str, inode: str) -> Path:
    """Return where to open a file that a living process has mapped.

    A process in a container has its own file below its own root. To one in a chroot the kernel gives the path
    as seen from our root, or from that of its mounts. The file itself, by its identity, decides; where none
    fits (some overlay file systems number files differently in the two places), the process's own root does.

    Parameters
    ----------
    pid
        The process.
    path, device, inode
        As in ``/proc/PID/maps``.

    Examples
    --------
    >>> maps = Path("/proc/self/maps").read_text().splitlines()
    >>> device, inode, path = next(line.split()[3:] for line in maps if line.endswith(".so"))
    >>> mapped_file(os.getpid(), path, device, inode).samefile(path)
    True
    """
    root = f"/proc/{pid}/root"
    inside = Path(f"{root}{path}")
    places = [inside, Path(path)]
    with contextlib.suppress(OSError):
        places.append(Path(f"{root}/{path.removeprefix(str(Path(root).readlink()))}"))
    return next((place for place in places if _is(place, device, inode)), inside)


def _is(place: Path, device: str, inode: str) -> bool:
    try:
        status = place.stat()
    except OSError:
        return False
    return device_and_inode(status) == (device, inode)


def elsewhere(pid: int) -> bool:
    """Return whether paths of a process may mean other files than ours.

    Raises
    ------
    OSError
        If the process is gone or not ours to look at.
    """
    return _place(pid) != _place(os.getpid())


def _place(pid: int) -> tuple[str, int, int]:
    status = Path(f"/proc/{pid}/root").stat()
    return str(Path(f"/proc/{pid}/ns/mnt").readlink()), status.st_dev, status.st_ino


class HeldFile:
    """A file of a process elsewhere, still there when the process has ended and its mounts with it.

    Parameters
    ----------
    place
        Where it is now.

    Raises
    ------
    OSError
        If it cannot be read.
    """

    def __init__(self, place: Path) -> None:
        handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, handle)
        self.path = Path(f"/proc/self/fd/{handle}")


_HELD: weakref.WeakValueDictionary[tuple[str, str], HeldFile] = weakref.WeakValueDictionary()


def hold(pid: int, path: str, device: str, inode: str) -> HeldFile | None:
    """Return a file that a process has mapped, to keep; None when it is deleted or cannot be read."""
    held = _HELD.get((device, inode))
    if held is None:
        with contextlib.suppress(OSError):
            held = _HELD[device, inode] = HeldFile(mapped_file(pid, path, device, inode))
    return held
