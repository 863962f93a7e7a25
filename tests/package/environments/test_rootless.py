"""A sandbox without root, asked for by a user of this machine who has no rights at all."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from workbench.package.environments.sandbox import chrooted

REPOSITORY = Path(__file__).parents[3]
NOBODY = 65534
PYTHON = "/usr/bin/python3"  # an interpreter that everybody may read

if os.geteuid() != 0:
    pytest.skip(
        "becoming another user needs root: rootless sandboxes were NOT tested", allow_module_level=True
    )
if chrooted():
    pytest.skip("no sandbox can be made inside a chroot: NOT tested", allow_module_level=True)
for needed in ("runc", "setpriv", PYTHON):
    if shutil.which(needed, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin") is None:
        pytest.skip(f"{needed} is not installed: rootless sandboxes were NOT tested", allow_module_level=True)

SCRIPT = """
import subprocess, sys
from pathlib import Path
from workbench.package.environments.sandbox import Place, Sandbox
from workbench.package.isolation import Isolation

folder = Path(sys.argv[1])
(folder / "bundle").mkdir(), (folder / "out").mkdir()
sandbox = Sandbox(
    folder / "bundle", ["/usr/bin/python3", "-c", sys.argv[2]],
    environment={"PATH": "/usr/bin:/bin", "HOME": "/tmp"}, cwd=Path("/"),
    isolation=Isolation(memory_bytes=256 << 20, cpus=0.5, pids=64),
    places=[Place(folder / "out", writable=True)],
)
try:
    process = sandbox.start(stdin=subprocess.DEVNULL)
    sys.exit(process.wait(60))
finally:
    sandbox.remove()
    left = list((folder / "bundle" / "run").glob("*"))
    assert not left, left
"""


@pytest.fixture
def sandboxed():
    """Run Python in a sandbox that `nobody` asked for; return what ended, and the folder it could write to."""
    folder = Path(tempfile.mkdtemp())  # not below pytest's, which only root may enter
    folder.chmod(0o755)
    code = folder / "code"
    shutil.copytree(
        REPOSITORY / "workbench", code / "workbench", ignore=shutil.ignore_patterns("__pycache__")
    )
    work = folder / "mine"
    work.mkdir()
    os.chown(work, NOBODY, NOBODY)

    def run(inside):
        command = [
            "setpriv",
            f"--reuid={NOBODY}",
            f"--regid={NOBODY}",
            "--clear-groups",
            PYTHON,
            "-c",
            SCRIPT,
        ]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [*command, str(work), inside],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
        ), work / "out"

    yield run
    shutil.rmtree(folder)


def test_what_is_inside(sandboxed):
    done, _ = sandboxed("""
import os, socket
from pathlib import Path
print([name for _, name in socket.if_nameindex()], len(os.sched_getaffinity(0)), Path("/root").exists())
status = Path("/proc/self/status").read_text()
print([line.split()[1].strip("0") for line in status.splitlines() if line.startswith(("CapEff", "CapBnd"))])
try:
    Path("/usr/x").touch()
except OSError as error:
    print(error.strerror)
""")
    assert done.returncode == 0, done.stderr
    network, capabilities, writing = done.stdout.splitlines()
    assert network == "['lo'] 1 False"
    assert capabilities == "['', '']"
    assert writing == "Read-only file system"


def test_what_it_writes_belongs_to_the_user(sandboxed):
    done, out = sandboxed("""
from pathlib import Path
place = next(line.split()[1] for line in open("/proc/mounts") if line.split()[1].endswith("/mine/out"))
Path(place, "file").write_text("text")
""")
    assert done.returncode == 0, done.stderr
    assert (out / "file").read_text() == "text"
    assert (out / "file").stat().st_uid == NOBODY


def test_memory_beyond_its_limit_is_refused(sandboxed):
    done, _ = sandboxed("bytearray(600 << 20)")
    assert done.returncode == 1
    assert "MemoryError" in done.stderr
