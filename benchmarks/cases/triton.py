"""The Triton ternary layer on a GPU: equal to the integer reference, and how fast beside torch's own products.

Baselines on the same card, interleaved: ``bf16`` (torch's product of bf16 activations and weights) and ``int_mm``
(``torch._int_mm``, int8 times int8, from 17 rows up, its sums only). ``layer`` quantizes, multiplies and scales;
``sums`` multiplies only. ``<a>_over_<b>``: the time of a divided by the time of b.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..harness import progress
from ..samples import Samples

SHAPES = ((4096, 4096), (4096, 14336), (14336, 4096), (8192, 8192))
ROWS = (1, 16, 128, 1024, 4096)
_INNER, _ROUNDS = 20, 12


def run(samples: Samples, *, quick: bool) -> None:
    """Measure on the first GPU.

    Raises
    ------
    SystemExit
        If there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("the benchmark triton needs an NVIDIA GPU and a CUDA build of torch")
    card = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    cases = [(m, k, n) for k, n in SHAPES[: 1 if quick else None] for m in ROWS[: 2 if quick else None]]
    for number in progress(len(cases), card):
        _one(samples, *cases[number])


def _one(samples: Samples, m: int, k: int, n: int) -> None:
    import torch

    from workbench.compile.cuda import ternary
    from workbench.quantize.ops.ternary import pack_codes

    torch.manual_seed(0)
    trits = torch.randint(-1, 2, (n, k), device="cuda")
    codes, scale = pack_codes(trits), torch.rand(n, 1, device="cuda") + 0.5
    x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
    planes, _ = ternary.quantize(x, codes.shape[1])
    _check(planes, codes, trits, x, scale)
    dense, integers = trits.bfloat16().t(), trits.to(torch.int8).t()
    q = planes.permute(0, 2, 1).reshape(m, k).contiguous()
    calls: dict[str, Callable[[], Any]] = {
        "bf16": lambda: x @ dense,
        "layer": lambda: ternary.linear_ternary(x, codes, scale, None, k),
        "sums": lambda: ternary.accumulate(planes, codes),
    }
    if m > 16:
        calls["int_mm"] = lambda: torch._int_mm(q, integers)
    graphs = {name: _graph(call) for name, call in calls.items()}
    key = f"m{m}_k{k}_n{n}"
    for _ in range(_ROUNDS):
        for name, graph in graphs.items():
            samples.add(f"{key}.{name}_us", _time_us(graph))
    for name in ("layer", "sums"):
        for base in ("bf16", "int_mm")[: 2 if m > 16 else 1]:
            samples.ratio(f"{key}.{base}_over_{name}", f"{key}.{base}_us", f"{key}.{name}_us")


def _check(planes: Any, codes: Any, trits: Any, x: Any, scale: Any) -> None:
    """Compare sums exactly, and the layer with its reference; raise AssertionError if they differ."""
    import torch

    from workbench.compile.cuda import ternary
    from workbench.quantize.ops.ternary import token_grid

    # On the CPU: on a GPU torch divides by a number by multiplying with its reciprocal, one bit off.
    q, step = (each.to(x.device) for each in token_grid(x.cpu(), (-1,)))
    m, k = x.shape
    assert torch.equal(planes.permute(0, 2, 1).reshape(m, -1)[:, :k].float(), q), "activations differ"
    exact = (q.double() @ trits.double().t()).int()
    assert torch.equal(ternary.accumulate(planes, codes), exact), "sums differ"
    given = ternary.linear_ternary(x.float(), codes, scale, None, k)
    expected = exact.float() * (step * scale.view(-1))
    assert torch.allclose(given, expected, rtol=1e-6, atol=1e-5), "results differ"


def _graph(call: Callable[[], Any]) -> Any:
    """Record some calls, so that starting them from Python is not what is measured."""
    import torch

    for _ in range(3):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(_INNER):
            call()
    return graph


def _time_us(graph: Any) -> float:
    import torch

    event: Any = torch.cuda.Event
    first, last = event(enable_timing=True), event(enable_timing=True)
    graph.replay()
    first.record()
    graph.replay()
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) * 1e3 / _INNER
