import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main, names
from benchmarks.samples import Samples
from workbench.errors import InputError

ROOT = Path(__file__).parents[2]


def test_an_unknown_name_is_refused_with_the_list(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["speed"])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "invalid choice: 'speed'" in message
    assert all(name in message for name in names())


@pytest.mark.parametrize(("name", "known"), [("compile", "minilm"), ("start", "none")])
def test_an_unknown_part_is_refused_before_anything_runs(capsys, name, known):
    with pytest.raises(SystemExit) as ended:
        main([name, "--only", "vgg"])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "no part vgg" in message
    assert known in message


def test_a_fault_ends_with_1_and_keeps_the_figures(capsys, monkeypatch):
    def run(samples, *, quick):
        samples.add("asked", 7)
        samples.faults.append("lost 1 of 7")

    monkeypatch.setattr("benchmarks.cases.start.run", run)
    assert main(["start"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["metrics"] == {"asked": 7.0}
    assert told.err == "fault: lost 1 of 7\n"


def test_what_has_no_parts_keeps_none(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["start", "--keep", str(tmp_path)])
    assert "no parts to keep" in capsys.readouterr().err


def test_finished_cells_are_not_measured_again(tmp_path, monkeypatch):
    from benchmarks.cases import compile as case

    measured = []

    def one(name, batch, threads, among):
        measured.append((name, batch, threads, list(among)))
        if len(measured) == 3:
            raise KeyboardInterrupt
        at = f"{name}.b{batch}.t{threads}"
        if len(measured) == 5:
            raise InputError("this one cannot be measured")
        values = {
            "times_module": [2.0, 4.0],
            "over_best": [0.99 if batch == 1 else 1.0],
            "drop_points": [0.1],
        }
        values = {f"{at}.picked.{key}": value for key, value in values.items()}
        return {"values": values, "best": ["none/onnxruntime"]}

    monkeypatch.setattr(case, "_one", one)
    with pytest.raises(KeyboardInterrupt):
        case.run(Samples(), quick=False, only=["mlp", "gru"], keep=tmp_path)
    case.run(samples := Samples(), quick=False, only=["mlp", "gru"], keep=tmp_path)
    assert measured.count(("mlp", 1, 1, [])) == measured.count(("mlp", 8, 1, ["none/onnxruntime"])) == 1
    assert len(measured) == 9
    assert samples.median("geometric_mean.times_module") == pytest.approx(3.0)
    worst = [samples.median(key) for key in ("worst.over_best", "worst.drop_points", "cells.failed")]
    assert worst == [0.99, 0.1, 1]
    case.run(samples := Samples(), quick=False, only=["mlp", "gru"], keep=tmp_path)
    assert len(measured) == 10, "what failed is tried again, the rest is kept"
    assert samples.median("cells.failed") == 0


def test_the_first_benchmarks_are_there():
    assert {"start", "executor", "capture_to_endpoint", "profile"} <= set(names())


@pytest.mark.parametrize(
    ("name", "rounds"), [("start", 3), ("executor", 2), pytest.param("profile", 1, marks=pytest.mark.bpf)]
)
def test_a_quick_run_prints_one_object_and_writes_it(tmp_path, name, rounds):
    file = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--json", str(file)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed == json.loads(file.read_text())
    assert list(printed) == ["benchmark", "machine", "versions", "repeats", "metrics", "spread"]
    assert (printed["benchmark"], printed["repeats"]) == (name, rounds)
    assert set(printed["metrics"]) == set(printed["spread"])
    assert all(re.fullmatch(r"\w+(\.\w+)+", key) for key in printed["metrics"])
    assert {"cpu", "cores", "kernel", "load_1m"} <= set(printed["machine"])

    explained = (ROOT / "benchmarks/README.md").read_text()
    assert [key for key in printed["metrics"] if f"`{key}`" not in explained] == []


def test_every_benchmark_is_explained():
    readme = (ROOT / "benchmarks/README.md").read_text()
    assert [name for name in names() if f"## {name}\n" not in readme] == []
