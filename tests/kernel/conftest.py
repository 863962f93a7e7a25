"""What several tests of the kernel side start from."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.kernel.asking import until


@pytest.fixture
def service():
    """A collector for everybody, on a socket of its own, in a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    path = folder / "collector.sock"
    process = subprocess.Popen([sys.executable, "-m", "workbench.trace.collector", "--socket", str(path)])
    try:
        assert until(path.exists)
        yield path, process
        assert process.poll() is None, "the collector died"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)
