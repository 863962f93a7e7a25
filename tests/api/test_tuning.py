"""``compile --tune``: records become an artifact, serve again, travel as a file, and nothing takes them silently."""

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.compile.relax.package import missing
from workbench.compile.relax.records import RECORDS
from workbench.errors import CompileError, InputError

pytestmark = pytest.mark.skipif(missing() is not None, reason="TVM is not installed: pip install apache-tvm")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Return what compiling with a budget of two seconds gave, of a network named ``net``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(tmp_path_factory.mktemp("store")))
        torch.manual_seed(0)
        wb.capture(nn.Linear(24, 32), torch.randn(1, 24), name="net", dynamic="none")
        yield wb.compile("net", backend="tvm", tune=2, options={"kernels": "tvm"})


def test_records_are_an_artifact_and_travel_as_a_file(tuned, tmp_path):
    facts = tuned.details["tuning"]
    assert facts["trials"] > 0
    assert facts["cpu"]
    assert "schedules tried" in tuned.text()
    assert "<svg" in tuned._repr_mimebundle_()["text/html"] or len(facts["curve"]) < 2
    kinds = {
        wb.Store().artifacts.manifest(each).kind
        for each in tuned.store.artifacts.manifest(tuned.digest).parents
    }
    assert kinds == {"program", "tuning"}
    wb.export("net/tuning", tmp_path / "net.tuning")
    again = wb.compile("net", backend="tvm", records=tmp_path / "net.tuning", dry_run=True)
    (step,) = again.details["recipe"]["steps"]
    folders = [
        tuned.store.artifacts.path(each)
        for each in (step["records"], tuned.store.names.resolve("net/tuning"))
    ]
    for name in RECORDS:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    foreign = (tmp_path / "net.tuning").read_text().replace(facts["cpu"], "Z80", 1)
    (tmp_path / "net.tuning").write_text(foreign)
    with pytest.raises(CompileError, match="measured on another processor: Z80"):
        wb.compile("net", backend="tvm", records=tmp_path / "net.tuning")


def test_what_cannot_be_tuned_is_said_at_once(tuned):
    with pytest.raises(InputError, match="has nothing to tune"):
        wb.compile("net", backend="onnxruntime", tune=5)
    with pytest.raises(InputError, match="aarch64-neon is not this machine"):
        wb.compile("net", backend="tvm", target="aarch64-neon", tune=5)
    with pytest.raises(InputError, match="is a program, not tuning records"):
        wb.compile("net", backend="tvm", records="net")
