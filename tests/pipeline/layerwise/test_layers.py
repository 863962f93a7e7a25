"""Models by layer: whose values they are, where they part, what is refused."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.errors import InputError
from workbench.pipeline.layerwise.comparison import difference, divergence
from workbench.pipeline.layerwise.model import model_of
from workbench.store import Store


class Net(nn.Module):
    """Convolutions with a norm and activations, a way around, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.middle, self.pool = nn.Conv2d(8, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """image: [batch, 2, 6, 6] -> [batch, 4]."""
        x = self.stem(image)
        return self.head(self.pool(x + torch.relu(self.middle(x))).flatten(1))


LAYERS = ["stem.0", "middle", "(the module itself)", "pool", "head.0", "head.1", "head.2"]
IMAGES = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def build() -> Net:
    torch.manual_seed(0)
    net = Net()
    nn.init.uniform_(net.stem[1].running_mean, -1, 1)
    return net.eval()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Hold the network, one whose layer ``head.0`` is another, and both compiled forms of the first."""
    store = Store(tmp_path_factory.mktemp("store"))
    net = build()
    other = copy.deepcopy(net)
    other.head[0].weight.data *= 1.5
    wb.capture(net, IMAGES, name="net", store=store)
    wb.capture(other, IMAGES, name="other", store=store)
    wb.quantize("net", mode="static", calibrate=[IMAGES], store=store)
    wb.compile("net", store=store)
    wb.compile("net:int8", backend="openvino", store=store)
    return store


def test_a_layer_gives_what_its_module_does(store):
    seen = {}
    net = build()
    for path in ("pool", "head.0", "head.1", "stem.2"):
        net.get_submodule(path).register_forward_hook(lambda _, __, y, path=path: seen.update({path: y}))
    net(IMAGES)
    model = model_of(store, "net")
    assert [path for path in model.layers if path in LAYERS] == model.layers
    given = model.values(model.layers, {"image": IMAGES.numpy()})
    for path, hooked in {"pool": "pool", "head.0": "head.0", "head.1": "head.1", "stem.0": "stem.2"}.items():
        torch.testing.assert_close(torch.from_numpy(given[path]), seen[hooked].detach(), atol=1e-5, rtol=1e-5)


def test_backends_and_formats_side_by_side(store):
    found = wb.compare("net", "net/onnxruntime", "net:int8/openvino", layers=True, store=store)
    assert set(found.layers) <= set(LAYERS)
    assert {"stem.0", "middle", "head.0", "head.2"} <= set(found.layers)
    assert max(found.errors["net/onnxruntime"].values()) < 1e-4
    assert 0 < max(found.errors["net:int8/openvino"].values()) < 0.1
    assert [one["layer"] for one in found.divergences] == ["", ""]
    for name in ("net", "net/onnxruntime", "net:int8/openvino"):
        timed = {path for path, seconds in found.seconds[name].items() if seconds > 0}
        # A node that takes less than the microsecond that OpenVINO counts in is not told.
        missing = {"stem.0", "middle", "head.2"} - timed
        assert len(missing) < (3 if "openvino" in name else 1), name
    assert found.sizes["net"]["middle"] == 4 * (8 * 8 * 9 + 8)
    assert found.sizes["net:int8/openvino"]["middle"] < found.sizes["net"]["middle"] / 2
    assert "A: net; B: net/onnxruntime" in found.text()
    assert found.html().count("<svg") == 2
    assert "<script" not in found.html()


def test_the_first_layer_that_differs_is_named(store):
    found = wb.compare("net", "other", layers=True, store=store)
    (parted,) = found.divergences
    assert (parted["layer"], parted["before"]) == ("head.0", 0.0)
    assert parted["error"] > parted["tolerance"] == 1e-3
    assert re.search(r"head.0 .* <- parts", found.text())
    loose = wb.compare("net", "other", layers=True, tolerance=10.0, store=store)
    assert loose.divergences[0]["layer"] == ""
    exact = wb.compare("net", "other", layers=True, tolerance=0.0, store=store)
    assert exact.divergences[0]["tolerance"] == 0.0
    with pytest.raises(InputError, match="for a comparison by layer"):
        wb.compare("net", "other", tolerance=0.1, store=store)


def test_what_has_no_layers_to_compare_is_refused(store, tmp_path):
    with pytest.raises(InputError, match="named twice"):
        wb.compare("net", "net", layers=True, store=store)
    wb.capture(nn.Linear(3, 3), torch.randn(4, 3), name="line", store=store)
    with pytest.raises(InputError, match="line takes other inputs than net"):
        wb.compare("net", "line", layers=True, store=store)
    wb.export("net", tmp_path / "net.onnx", store=store)
    wb.capture(tmp_path / "net.onnx", name="file", store=store)
    with pytest.raises(InputError, match="captured from an ONNX file, which has no modules"):
        wb.compare("net", "file", layers=True, store=store)


def test_differences_that_have_no_size_are_infinite():
    import numpy

    nan = numpy.array([1.0, numpy.nan])
    assert difference(nan, nan) == 0.0
    assert difference(nan, numpy.ones(2)) == float("inf")
    assert difference(numpy.ones(2), numpy.ones(3)) == float("inf")
    assert difference(numpy.zeros(2), numpy.zeros(2)) == 0.0
    assert divergence("b", {"first": float("nan")}, 0.1).layer == "first"
