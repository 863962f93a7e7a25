"""The shell command in a process of its own: exit codes, streams, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def shell(tmp_path: Path):
    environment = {**os.environ, "MLOPS_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).parent / "mlops"), *words],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env=environment,
        )

    return run


def test_a_wrong_line_exits_2_with_usage_on_stderr(shell) -> None:
    done = shell("quantise")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0].endswith("no choice 'quantise': did you mean quantize?")
    assert "usage: mlops" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_exits_0(shell) -> None:
    done = shell("push", "--help")
    assert done.returncode == 0
    assert "mlops push minilm:int8 --to staging --canary 10%" in done.stdout


def test_doctor_prints_text_and_json(shell) -> None:
    assert "python" in shell("doctor").stdout
    facts = json.loads(shell("doctor", "--json").stdout)
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    mlops = Path(sys.executable).parent / "mlops"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {mlops} --help | true; {mlops} doctor | true"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.stderr == ""
