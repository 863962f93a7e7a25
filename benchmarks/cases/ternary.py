"""Ternary kernels against torch and onnxruntime, and against what the processor can do at most."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence

from ..harness import fresh, progress
from ..samples import Samples
from ..ternary.timing import call_us

SIZES = ((2560, 2560), (2560, 6912), (6912, 2560), (4096, 11008))
_OTHERS = ("torch_bf16", "torch_dynamic_int8", "torch_int_mm", "ort_2bit", "ort_4bit", "ort_8bit")
_BETWEEN = 50e6  # weights multiplied between two readings of the clock
_AVX2 = """
import json, torch
torch.set_num_threads(1)
from benchmarks.ternary import engines
from benchmarks.ternary.timing import call_us
shape = engines.Shape({k}, {n}, {m}, False)
with torch.inference_mode():
    calls = {{"torch_fp32": engines.torch_float(shape, torch.float32), "torch_int_mm": engines.torch_int_mm(shape),
              "torch_dynamic_int8": engines.torch_dynamic_int8(shape), "t2": engines.ours(shape, "t2", "x86-64-avx2")}}
    print(json.dumps([{{name: call_us(call) for name, call in calls.items()}} for _ in range({rounds})]))
"""


PARTS = (
    "products",
    "threads",
    "convolutions",
    "avx2",
    "models",
    "body",
    "oversubscribed",
    "loading",
    "healing",
)


def run(samples: Samples, *, quick: bool, only: Sequence[str] = PARTS) -> None:
    """Measure the parts asked for; one shape and one round when quick, else all shapes and 3 rounds."""
    import torch

    from ..ternary.figure import draw

    rounds = 1 if quick else 3
    with torch.inference_mode():
        for k, n, m, cold, threads in _shapes(quick):
            if ("products" if threads == 1 else "threads") in only:
                _products(samples, k, n, m, cold, threads, rounds)
                gc.collect()
        torch.set_num_threads(1)
        if "convolutions" in only:
            _convolutions(samples, rounds)
    for k, n, m in ((2560, 6912, 1), (2560, 6912, 8), (2560, 2560, 128))[: 1 if quick else 3]:
        if "avx2" in only:
            _avx2(samples, k, n, m, rounds)
    rest = {"models": _models, "body": _body, "oversubscribed": _oversubscribed, "loading": _loading}
    for name, measure in rest.items():
        if name in only:
            measure(samples, rounds)
    if "healing" in only:
        _healing(samples, quick)
    if "products" in only and not quick:
        draw(samples)


def _shapes(quick: bool) -> Iterator[tuple[int, int, int, bool, int]]:
    if quick:
        yield 2560, 2560, 1, False, 1
        return
    for k, n in SIZES:
        for m in (1, 8, 128):
            yield k, n, m, False, 1
        yield k, n, 1, True, 1
    for k, n, m in ((2560, 6912, 1), (4096, 11008, 1), (4096, 11008, 8), (2560, 6912, 128)):
        yield k, n, m, False, 2
    yield 4096, 11008, 1, True, 2


def _products(samples: Samples, k: int, n: int, m: int, cold: bool, threads: int, rounds: int) -> None:
    import torch

    from ..ternary.engines import Shape, engines, ours
    from ..ternary.limits import peak_decoded, peak_products

    torch.set_num_threads(threads)
    shape = Shape(k, n, m, cold, threads)
    at = f"{k}x{n}.m{m}.{'cold' if cold else 'hot'}.{'one' if threads == 1 else 'two'}"
    calls = engines(shape)
    names = list(calls)
    bounded = m == threads == 1 and not cold  # by the processor alone: what Python adds to a call would count
    times = max(2, round(_BETWEEN / (k * n)))
    in_c = {layout: ours(shape, layout, times=times) for layout in ("t2", "t5") if bounded}
    for call in [*calls.values(), *in_c.values()]:
        call()
    for number in progress(rounds, at):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            samples.add(f"{at}.{name}.us", call_us(calls[name], threads))
        for layout, call in in_c.items():
            samples.add(f"{at}.{layout}_in_c.us", call_us(call) / times)
        peak = peak_products()
        if peak:
            samples.add(f"{at}.peak.us", m * k * n / peak / threads * 1e6)
        for layout, weights in (("t2", 4), ("t5", 5)):
            decoded = peak_decoded(layout) if m == threads == 1 else 0
            if decoded:
                samples.add(f"{at}.decode_{layout}.us", k * n / weights / decoded * 1e6)
    _ratios(samples, at, names)


def _ratios(samples: Samples, at: str, names: list[str]) -> None:
    us = {
        name: f"{at}.{name}.us"
        for name in [*names, "peak", "decode_t2", "decode_t5"]
        if f"{at}.{name}.us" in samples
    }
    best = min(("t2", "t5"), key=lambda name: samples.median(us[name]))
    samples.ratio(f"{at}.times_torch_fp32", us["torch_fp32"], us[best])
    other = min(_OTHERS, key=lambda name: samples.median(us[name]))
    samples.ratio(f"{at}.times_best_other", us[other], us[best])
    samples.ratio(f"{at}.times_int_mm", us["torch_int_mm"], us[best])
    alone = f"{at}.{best}_in_c.us" if f"{at}.{best}_in_c.us" in samples else us[best]
    if "peak" in us:
        samples.ratio(f"{at}.share_of_peak", us["peak"], alone)
    if f"decode_{best}" in us:
        samples.ratio(f"{at}.share_of_decoding", us[f"decode_{best}"], alone)
    if f"read_{best}" in us:
        samples.ratio(f"{at}.share_of_reading", us[f"read_{best}"], us[best])


def _convolutions(samples: Samples, rounds: int) -> None:
    from ..ternary.convolutions import BATCHES, LAYERS, pair

    for name, layer in LAYERS.items():
        for batch in BATCHES:
            at = f"conv.{name}.batch_{batch}"
            theirs, ours = pair(layer, batch)
            theirs(), ours()
            for _ in progress(rounds, at):
                samples.add(f"{at}.torch_fp32.us", call_us(theirs))
                samples.add(f"{at}.ours.us", call_us(ours))
            samples.ratio(f"{at}.times_torch_fp32", f"{at}.torch_fp32.us", f"{at}.ours.us")


def _avx2(samples: Samples, k: int, n: int, m: int, rounds: int) -> None:
    at = f"{k}x{n}.m{m}.avx2"
    code = _AVX2.format(k=k, n=n, m=m, rounds=rounds)
    for figures in fresh(
        code, ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2", FBGEMM_ENABLE_INSTRUCTIONS="AVX2"
    ):
        for name, us in figures.items():
            samples.add(f"{at}.{name}.us", us)
    others = ("torch_fp32", "torch_int_mm", "torch_dynamic_int8")
    best = min(others, key=lambda name: samples.median(f"{at}.{name}.us"))
    samples.ratio(f"{at}.times_best_other", f"{at}.{best}.us", f"{at}.t2.us")


def _models(samples: Samples, rounds: int) -> None:
    """Whole models: the digits CNN and the character model of the tutorial, one thread."""
    import torch

    from ..ternary.models import models

    with models() as compiled, torch.inference_mode():
        for name, model in compiled.items():
            at = f"model.{name}"
            for call in model.calls.values():
                call()
            for _ in progress(rounds, name):
                for engine, call in model.calls.items():
                    us = call_us(call)
                    samples.add(f"{at}.{engine}.us", us)
                    samples.add(f"{at}.{engine}.tokens_per_s", model.tokens * 1e6 / us)
            for engine in ("torch_fp32", "onnxruntime_fp32"):
                samples.ratio(f"{at}.times_{engine}", f"{at}.{engine}.us", f"{at}.ours.us")


def _body(samples: Samples, rounds: int) -> None:
    """Tokens a second of the linear layers of BitNet b1.58 2B4T (30 blocks), random weights."""
    from ..ternary.engines import Shape, ours

    sizes = [(2560, 2560), (2560, 640), (2560, 640), (2560, 2560), (2560, 6912), (2560, 6912), (6912, 2560)]
    for layout in ("t2", "t5"):
        calls = [ours(Shape(k, n, 1, False), layout) for k, n in sizes for _ in range(30)]

        def token(calls: list = calls) -> None:  # type: ignore[type-arg]
            for call in calls:
                call()

        for _ in progress(rounds, f"30 blocks, {layout}"):
            samples.add(f"bitnet_2b_body.{layout}.tokens_per_s", 1e6 / call_us(token, least=3))


def _oversubscribed(samples: Samples, rounds: int) -> None:
    """Median wall time of one call with one and two threads while five busy processes a core run."""
    from ..ternary.engines import Shape, ours
    from ..ternary.load import burners, median_us

    one, two = (ours(Shape(2560, 6912, 1, False, threads), "t2") for threads in (1, 2))
    with burners(5):
        for _ in progress(rounds, "oversubscribed"):
            samples.add("oversubscribed.one.us", median_us(one))
            samples.add("oversubscribed.two.us", median_us(two))
    samples.ratio("oversubscribed.two_over_one", "oversubscribed.two.us", "oversubscribed.one.us")


def _loading(samples: Samples, rounds: int) -> None:
    """Seconds a gigabyte of repacking and of verifying."""
    from ..ternary import packing

    for _ in progress(rounds, "loading"):
        packing.measure(samples)


def _healing(samples: Samples, quick: bool) -> None:
    """Once: the digits CNN, and where there is time the character model."""
    import torch

    from ..ternary import healing

    torch.set_num_threads(1)
    healing.measure(samples, "digits", healing.digits_cnn())
    if not quick:
        healing.measure(samples, "char_lm", healing.char_lm())
