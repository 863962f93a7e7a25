"""A little space kept aside, so that a store on a full disk can still be listed and collected.

SQLite cannot even read without room for the index of its log, and ``gc``, the way out of a full disk, writes down
what it removes.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

BYTES = 256 * 1024
"""The index of the log takes 32 KiB, the log of a collection a page for each row it removes."""


def keep(path: Path) -> None:
    """Set the space aside, unless it is already, or the disk has none."""
    if path.exists():
        return
    with contextlib.suppress(OSError):  # another process was faster, or there is no room for one more file
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, BYTES)
        except OSError:
            path.unlink(missing_ok=True)
        finally:
            os.close(handle)


def give_up(path: Path) -> bool:
    """Give the space back to the disk; return whether there was any."""
    try:
        path.unlink()
    except OSError:  # there was none, or the disk may not be written
        return False
    return True
