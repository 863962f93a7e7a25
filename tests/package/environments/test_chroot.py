"""Inside a chroot no sandbox can be made: it says so before anything starts, and what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.package.environments.sandbox import chrooted

REPOSITORY = Path(__file__).parents[3]

if os.geteuid() != 0 or shutil.which("unshare") is None:
    pytest.skip("a chroot needs root and util-linux: NOT tested", allow_module_level=True)

CODE = """
from workbench.errors import InputError
from workbench.package.environments.sandbox import chrooted, require
assert chrooted()
try:
    require()
except InputError as error:
    print(error.what, error.fix, sep="; ")
"""


def test_it_is_refused_by_name(tmp_path):
    """The machine's folders, shown below a plain folder that becomes the root."""
    root = tmp_path / "root"
    needed = (Path("/usr"), Path("/proc"), REPOSITORY, Path(sys.prefix).resolve(), Path(sys.base_prefix))
    shown = sorted({Path("/", path.parts[1]) for path in needed})
    lines = ["set -e", f"mkdir -p {root}"]
    for path in shown:
        lines += [f"mkdir {root}{path}", f"mount --rbind {path} {root}{path}"]
    for link in ("bin", "lib", "lib64"):
        if Path("/", link).is_symlink():
            lines.append(f"ln -s usr/{link} {root}/{link}")
    lines.append(f'exec chroot {root} "$@"')
    inside = ["/usr/bin/env", f"PYTHONPATH={REPOSITORY}", str(Path(sys.executable)), "-c", CODE]
    enter = [] if chrooted() else ["unshare", "-m", "sh", "-c", "\n".join(lines), "sh"]
    done = subprocess.run([*enter, *inside], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("no sandbox can be made inside a chroot"), done.stderr
    assert "leave --isolate out" in done.stdout
