"""Tuning: records that grow, survive kills and crashes, serve on one processor only, and can be shared."""

import json
import os
import shutil
import signal
import time

import pytest
import torch
from torch import nn

from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program
from workbench.compile.relax import measuring, tuning
from workbench.compile.relax.records import FACTS_FILE, RECORDS, join, read_facts, repair, split
from workbench.errors import CompileError, CorruptArtifact

CONFIG = CompileConfig("tvm", options={"kernels": "tvm"})
FUNCTIONS = 2


class Stopped(Exception):
    """Tuning saw enough."""


def until(done):
    """Return a listener that stops tuning when `done` says so of the text and the curve."""

    def tell(share, text, curve):
        if done(text, curve):
            raise Stopped

    return tell


def tune(program, folder, done):
    with pytest.raises(Stopped):
        tuning.tune(program, folder, CONFIG, 600.0, until(done))
    return read_facts(folder)


def measured(folder):
    path = folder / RECORDS[1]
    return path.read_text().count("\n") if path.exists() else 0


@pytest.fixture(scope="module")
def program(tvm_compile, tmp_path_factory):
    """Return a program of two functions; without TVM `tvm_compile` skips."""
    folder = tmp_path_factory.mktemp("program")
    layers = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 4))
    capture_module(layers, torch.randn(1, 24), folder, dynamic="none")
    return folder


@pytest.fixture(scope="module")
def records(program, tmp_path_factory):
    """Return records of one batch a function."""
    folder = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "CANDIDATES", 2)
        tune(program, folder, lambda text, curve: curve)
    return folder


def test_a_tuned_module_has_the_schedules_that_were_measured(program, records, tmp_path):
    facts = read_facts(records)
    assert list(facts.tried.values()) == [1] * FUNCTIONS
    assert len(facts.curve) == 1
    assert FUNCTIONS <= measured(records) <= facts.trials <= 2 * FUNCTIONS
    for name, given in (("plain", None), ("tuned", records)):
        (tmp_path / name).mkdir()
        report = compile_program(program, tmp_path / name, CONFIG, records=given)
        assert report.max_abs_error <= 1e-5
    plain, tuned = ((tmp_path / name / "model.tir.txt").read_text() for name in ("plain", "tuned"))
    assert "T.vectorized" not in plain
    assert "T.vectorized" in tuned


def test_a_killed_run_goes_on_where_it_was(program, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "CANDIDATES", 2)
    child = os.fork()
    if child == 0:
        try:
            tuning.tune(program, tmp_path, CONFIG, 600.0, lambda *_: None)
        finally:
            os._exit(1)
    end = time.monotonic() + 120
    while measured(tmp_path) < 1 and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    before, known = measured(tmp_path), read_facts(tmp_path)
    assert before >= 1
    with (tmp_path / RECORDS[1]).open("a") as file:
        file.write("[0, [[")  # what a kill amid a line leaves
    facts = tune(program, tmp_path, lambda text, curve: "schedules" in text)
    assert measured(tmp_path) >= before
    assert sum(facts.tried.values()) == sum(known.tried.values()) + 1
    assert facts.cpu == known.cpu


def test_a_crash_and_a_hang_cost_one_batch(program, tmp_path, monkeypatch):
    real = measuring._batch

    def batch(function, target, folder, seed, until_s):
        if not (tmp_path / "crashed").exists():
            (tmp_path / "crashed").touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return real(function, target, folder, seed, until_s)

    monkeypatch.setattr(measuring, "_batch", batch)
    monkeypatch.setattr(measuring, "CANDIDATES", 1)
    facts = tune(program, tmp_path, lambda text, curve: curve)
    assert facts.crashes == 1
    assert measured(tmp_path) == FUNCTIONS - 1
    monkeypatch.setattr(measuring, "_batch", lambda *_: time.sleep(600))
    monkeypatch.setattr(measuring, "_GRACE_S", 0.2)
    with pytest.raises(measuring.Crashed):
        measuring.measure_batch(None, None, tmp_path, 0, time.monotonic())


def test_records_of_another_processor_are_refused(program, records, tmp_path):
    folder, out = shutil.copytree(records, tmp_path / "records"), tmp_path / "out"
    out.mkdir()
    facts = json.loads((folder / FACTS_FILE).read_bytes())
    (folder / FACTS_FILE).write_text(json.dumps({**facts, "cpu": "Z80 []"}))
    with pytest.raises(CompileError, match=r"measured on another processor: Z80 \[\]; here it is") as caught:
        compile_program(program, out, CONFIG, records=folder)
    assert "--tune" in caught.value.fix
    with pytest.raises(CompileError, match="on another processor"):
        tuning.tune(program, folder, CONFIG, 600.0, lambda *_: None)
    (folder / FACTS_FILE).write_text(json.dumps({**facts, "tvm": "0.1"}))
    with pytest.raises(CompileError, match=r"by another TVM: 0\.1"):
        compile_program(program, out, CONFIG, records=folder)


def test_a_shared_file_is_the_same_records(records, tmp_path):
    (file := tmp_path / "net.tuning").write_bytes(join(records))
    (out := tmp_path / "out").mkdir()
    assert split(file, out) == read_facts(records)
    assert all((out / name).read_bytes() == (records / name).read_bytes() for name in RECORDS)
    whole = file.read_text()
    for damaged in ("", "{}", whole[:-40], whole.replace('"workloads": ', '"workloads": 9'), whole + "{}\n"):
        file.write_text(damaged)
        with pytest.raises(CorruptArtifact, match="no file of tuning records"):
            split(file, out)
    (out / FACTS_FILE).write_text('{"cpu": 3}')
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        read_facts(out)


def test_a_torn_line_is_dropped_and_whole_ones_stay(tmp_path):
    (tmp_path / RECORDS[0]).write_text("[1]\n[2]\n[3")
    repair(tmp_path)
    assert (tmp_path / RECORDS[0]).read_text() == "[1]\n[2]\n"
    assert (tmp_path / RECORDS[1]).read_text() == ""


def test_dynamic_sizes_are_refused(tvm_compile, tmp_path):
    (program := tmp_path / "program").mkdir()
    capture_module(nn.Linear(4, 4), torch.randn(2, 4), program)
    with pytest.raises(CompileError, match="this program has dynamic ones") as caught:
        tuning.tune(program, tmp_path, CONFIG, 1.0, lambda *_: None)
    assert 'dynamic="none"' in caught.value.fix


def test_a_program_without_a_function_of_tvms_is_refused(tvm_compile, tmp_path):
    (program := tmp_path / "program").mkdir()
    capture_module(nn.Linear(4, 4), torch.randn(2, 4), program, dynamic="none")
    with pytest.raises(CompileError, match="nothing to tune") as caught:
        tuning.tune(program, tmp_path, CompileConfig("tvm"), 60.0, lambda *_: None)
    assert "kernels=tvm" in caught.value.fix


def test_a_run_that_measures_nothing_says_so(program, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "_batch", lambda *_: os._exit(0))
    with pytest.raises(CompileError, match=r"no schedule could be measured in .* \(6 batches crashed\)"):
        tuning.tune(program, tmp_path, CONFIG, 600.0, lambda *_: None)
    assert read_facts(tmp_path).crashes == 3 * FUNCTIONS  # each function is left after three
