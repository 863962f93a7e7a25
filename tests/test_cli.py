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
    assert "next:  mlops --help" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_exits_0(shell) -> None:
    done = shell("push", "--help")
    assert done.returncode == 0
    assert "mlops push minilm:int8 --to staging --canary 10%" in done.stdout


def test_doctor_prints_text_and_json(shell, tmp_path: Path) -> None:
    module = [sys.executable, "-m", "workbench", "doctor"]  # where mlops is not on the path
    done = subprocess.run(module, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.returncode, "python" in done.stdout) == (0, True)
    found = json.loads(shell("doctor", "--json").stdout)["findings"]
    assert next(one["value"] for one in found if one["what"] == "python") == ".".join(
        map(str, sys.version_info[:3])
    )


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


@pytest.fixture
def shop(tmp_path: Path) -> str:
    (tmp_path / "shop.py").write_text(
        "import torch\n"
        "torch.manual_seed(0)\n"
        "batch = torch.randn(4, 8)\n"
        "def encoder():\n"
        "    return torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()\n"
        "def zero(model):\n"
        "    return float(model(batch).abs().sum() < 0)\n"
    )
    return "shop.py"


def test_a_factory_in_a_file_goes_all_the_way_to_a_compiled_artifact(shell, shop: str) -> None:
    done = shell("capture", f"{shop}:encoder", "--inputs", f"{shop}:batch", "--name", "enc", "--json")
    assert done.returncode == 0, done.stderr
    captured = json.loads(done.stdout)
    assert captured["name"] == "enc"
    assert captured["digest"].startswith("sha256:")
    assert "capture shop.py:encoder  done in " in done.stderr
    done = shell("compile", "enc")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("enc/onnxruntime  sha256:")
    assert "enc/onnxruntime" in shell("show").stdout
    assert "artifact(s) whole" in shell("verify").stdout


def test_a_dry_run_is_pure_json_and_runs_nothing(shell, shop: str) -> None:
    done = shell("capture", f"{shop}:encoder", "--inputs", f"{shop}:batch", "--dry-run")
    assert done.returncode == 0, done.stderr
    (step,) = json.loads(done.stdout)["steps"]
    assert (step["_type"], step["name"]) == ("capture_step", "encoder")
    assert shell("runs").stdout.startswith("0 runs")


def test_contenders_are_named_with_spaces_or_commas(shell, shop: str) -> None:
    assert shell("capture", f"{shop}:encoder", "--inputs", f"{shop}:batch", "--name", "small").returncode == 0
    auto = ("compile", "small", "--backend", "auto", "--dry-run", "--among")
    spaces, commas = shell(*auto, "eager", "onnxruntime"), shell(*auto, "eager,onnxruntime")
    assert spaces.stdout == commas.stdout
    assert '"eager"' in commas.stdout, commas.stderr


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ("show", "enc"),
            ["UnknownArtifact: no artifact is named 'enc'", "mlops capture MODULE --name NAME"],
        ),
        (("capture", "encoder"), ["MissingInput: 'encoder' does not say where the model is"]),
        (("profile", "enc"), ["InputError: there is nothing to profile", "mlops profile enc"]),
        (("logs", "r0"), ["UnknownRun: no run has the id 'r0'", "next:  mlops runs lists them"]),
    ],
)
def test_a_failure_exits_1_with_what_where_next_on_stderr(shell, words, lines: list[str]) -> None:
    done = shell(*words)
    assert (done.returncode, done.stdout) == (1, "")
    for line in lines:
        assert line in done.stderr
    assert "  where: " in done.stderr
    assert "%mlops" not in done.stderr
    assert "Traceback" not in done.stderr


def test_status_runs_and_gc_on_an_empty_store(shell) -> None:
    assert shell("status").stdout.startswith("0 deployment(s)")
    assert json.loads(shell("gc", "--json").stdout)["details"]["artifacts"] == 0
