"""The parts of the benchmark ``ternary``: every engine multiplies, limits are measured, ratios point the right way."""

import numpy as np
import pytest
import torch

from benchmarks.cases import ternary
from benchmarks.samples import Samples
from benchmarks.ternary import convolutions, engines, healing, limits, packing
from benchmarks.ternary.load import median_us
from workbench.kernels.features import cpu_features
from workbench.quantize.heal import HealConfig

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("m", [1, 3])
def test_every_engine_multiplies(m, monkeypatch):
    monkeypatch.setattr(engines, "COLD_BYTES", 100_000)
    for cold in (False, True):
        with torch.inference_mode():
            calls = engines.engines(engines.Shape(256, 64, m, cold))
            for name, call in calls.items():
                for _ in range(3):
                    found = call()
                if name.startswith(("torch", "ort")):
                    array = found[0] if isinstance(found, list) else found.float().numpy()
                    assert array.shape == (m, 64), name
                    assert np.isfinite(array).all(), name
                else:
                    assert found in (0, None), name  # the kernels' error code


def test_random_codes_are_weights():
    codes = engines.Shape(64, 32, 1, False).codes()
    assert not (codes & (codes >> 1) & 0x55).any()


@pytest.mark.skipif("avx512_vnni" not in cpu_features(), reason="this processor has no vpdpbusd")
def test_the_peak_is_that_of_a_processor():
    assert 1e9 < limits.peak_products() < 1e13


def test_both_sides_of_a_convolution_have_the_same_output():
    theirs, ours = convolutions.pair(convolutions.LAYERS["small_4_16"])
    assert theirs().shape == (1, 4, 16, 16)
    assert ours() == 0
    assert median_us(ours, 0.01) > 0


def test_ratios_say_how_many_times_as_fast():
    samples = Samples()
    us = dict.fromkeys(["torch_bf16", "torch_int_mm", "ort_2bit", "ort_4bit", "ort_8bit"], 50.0)
    us |= {
        "torch_fp32": 90.0,
        "torch_dynamic_int8": 20.0,
        "t2": 10.0,
        "t5": 15.0,
        "read_t2": 9.0,
        "read_t5": 7.0,
    }
    for name, value in us.items():
        samples.add(f"a.{name}.us", value)
    ternary._ratios(samples, "a", list(us))
    assert samples.median("a.times_torch_fp32") == 9
    assert samples.median("a.times_best_other") == 2
    assert samples.median("a.times_int_mm") == 5
    assert samples.median("a.share_of_reading") == 0.9
    assert "a.share_of_peak" not in samples
    for name, value in {"peak": 6.0, "decode_t2": 7.0, "t2_in_c": 8.0}.items():
        samples.add(f"a.{name}.us", value)  # limits of the processor: without what Python adds to a call
    ternary._ratios(samples, "a", list(us))
    assert samples.median("a.share_of_peak") == 0.75
    assert samples.median("a.share_of_decoding") == 0.875


def test_loading_is_measured_for_both_layouts(monkeypatch):
    monkeypatch.setattr(packing, "_SHAPE", engines.Shape(256, 64, 1, False))
    samples = Samples()
    packing.measure(samples)
    assert all(
        samples.median(f"load.{name}_{layout}.s_per_gb") > 0
        for name in ("pack", "verify")
        for layout in ("t2", "t5")
    )


def test_healing_says_what_it_took_and_what_all_reached():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 32), torch.nn.Linear(32, 3)
    )
    x = torch.randn(64, 8)
    target = x[:, :3].argmax(1)
    patient = healing.Patient(
        net.eval(),
        x[:4],
        [(x, target)] * 4,
        lambda model: float((torch.as_tensor(model(x)).argmax(1) == target).float().mean()),
        lambda given, now: now > given,
        HealConfig(0.3, 1e-2),
    )
    samples = Samples()
    healing.measure(samples, "net", patient)
    given = patient.score(net)
    assert samples.median("heal.net.given.score") == given
    # it stopped because it was good enough, or because the time was up
    assert samples.median("heal.net.healed.score") > given or samples.median("heal.net.cpu_s") >= 0.3
    assert samples.median("heal.net.steps") >= 1
    assert {f"heal.net.{which}.score" for which in ("naive", "control")} <= set(samples.summary()["metrics"])
