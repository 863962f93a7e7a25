"""``operators``: each backend's own profiler in one layout, with work counted by hand."""

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.compile.base import backend as backend_named
from workbench.compile.operator_times import operator_times
from workbench.errors import InputError


class Net(nn.Module):
    """One convolution, one linear layer; 16 channels, since onnxruntime pads to a multiple of 16."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 16, 3, padding=1)
        self.linear = nn.Linear(16 * 16 * 16, 10)

    def forward(self, x):
        return self.linear(torch.relu(self.convolution(x)).flatten(1))


CONVOLUTION = 2 * 16 * 16 * 16 * 3 * 9
LINEAR = 2 * 16 * 16 * 16 * 10


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(tmp_path_factory.mktemp("store")))
        torch.manual_seed(0)
        wb.capture(Net(), torch.randn(4, 3, 16, 16), name="net", dynamic="x:0=batch")
        yield


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "eager", "ternary", "tvm"])
def test_work_is_counted_as_by_hand(home, backend):
    if refusal := backend_named(backend).available():
        pytest.skip(refusal.what)
    wb.compile("net", backend=backend)
    found = wb.operators(f"net/{backend}", repeats=3)
    convolution, linear = (
        next(one for one in found.operators if work <= (one["flops"] or 0) < 1.02 * work)
        for work in (CONVOLUTION, LINEAR)
    )  # a fused activation counts one an element
    assert convolution["intensity"] > linear["intensity"]
    assert all(one["seconds"] >= 0 for one in found.operators)
    if backend in ("onnxruntime", "openvino", "ternary"):
        assert linear["bytes"] == 4 * (16 * 16 * 16 + 16 * 16 * 16 * 10 + 10 + 10)
    assert found.mfu > 0
    assert found.peak_gflops > 0
    assert "of peak" in found.text()


def test_two_backends_side_by_side_with_reasons(home):
    for backend in ("onnxruntime", "eager"):
        wb.compile("net", backend=backend)
    found = wb.compare("net/onnxruntime", "net/eager", operators=True)
    one, other = (found.groups[f"net/{name}"] for name in ("onnxruntime", "eager"))
    assert CONVOLUTION <= one["convolution"]["flops"] < 1.02 * CONVOLUTION
    assert LINEAR <= other["product"]["flops"] < 1.02 * LINEAR
    slower = {
        sort
        for sort, group in other.items()
        if sort not in one or group["seconds"] > one[sort]["seconds"] / 0.9
    }
    assert set(found.reasons["net/eager"]) == slower
    assert "why B takes longer" in found.text()
    with pytest.raises(InputError, match="not both"):
        wb.compare("net/onnxruntime", "net/eager", operators=True, layers=True)


def test_the_batch_as_captured(home):
    wb.compile("net")
    found = wb.operators("net/onnxruntime", repeats=2, batch=0)
    assert 4 * CONVOLUTION in [one["flops"] for one in found.operators]


def test_a_backend_without_a_profiler_names_those_with_one(tmp_path):
    (tmp_path / "backend.json").write_text('{"backend": "ethos"}')
    with pytest.raises(InputError, match="tells no time by operator") as caught:
        operator_times(tmp_path, {})
    assert "eager, inductor, onnxruntime, openvino, ternary, tvm" in caught.value.fix
