"""Waits that a busy machine makes longer, not wrong."""

import time
from pathlib import Path


def until_worked(pid, seconds):
    """Wait until a process has had so much more CPU time; fail after a minute."""
    before, end = _worked(pid), time.monotonic() + 60
    while _worked(pid) < before + seconds:
        assert time.monotonic() < end, f"process {pid} did not work for {seconds} s within a minute"
        time.sleep(0.02)


def _worked(pid):
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
