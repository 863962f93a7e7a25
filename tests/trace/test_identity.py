"""Whom a client may trace: processes below it, as the kernel numbers them."""

import os
import subprocess

from workbench.trace.identity import is_descendant


def test_descendants():
    child = subprocess.Popen(["sleep", "20"])
    try:
        assert is_descendant(child.pid, os.getpid())
        assert not is_descendant(os.getpid(), child.pid)
        assert not is_descendant(os.getppid(), os.getpid())
    finally:
        child.kill()
        child.wait()
