"""The environment lock agrees with the packaging metadata and depends on nothing else."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

from workbench import codec
from workbench.package import lock


def test_agrees_with_the_metadata_of_every_distribution() -> None:
    import setuptools  # noqa: F401 - it adds packages of its own to the path, which nobody installed

    installed = importlib.metadata.distributions(path=[p for p in sys.path if Path(p).name != "_vendor"])
    slow = {f"{re.sub(r'[-_.]+', '-', d.metadata['Name']).lower()}=={d.version}" for d in installed}
    assert set(lock().packages) == slow


def test_first_on_the_path_counts_and_lines_are_sorted(tmp_path: Path) -> None:
    for name in ("a/Zope.Interface-7.0.dist-info", "a/numpy-2.4.6.dist-info", "b/numpy-1.0.dist-info"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "~umpy-2.0.dist-info").mkdir()  # what an interrupted uninstall leaves
    found = lock([str(tmp_path / "a"), str(tmp_path / "absent"), str(tmp_path / "b")])
    assert found.packages == ("numpy==2.4.6", "zope-interface==7.0")


def test_digest_changes_with_a_version_only(tmp_path: Path) -> None:
    (tmp_path / "torch-2.13.0+cpu.dist-info").mkdir()
    one = lock([str(tmp_path)])
    assert one.digest == lock([str(tmp_path)]).digest
    assert codec.loads(codec.dumps(one)) == one
    (tmp_path / "torch-2.13.0+cpu.dist-info").rename(tmp_path / "torch-2.13.1.dist-info")
    assert lock([str(tmp_path)]).digest != one.digest
