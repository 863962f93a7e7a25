"""Probed functions: operators, allocations, CUDA calls and static points, by number and by byte."""

import ctypes
import itertools
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.kernels import reference
from workbench import kernels as kernels_of_ours
from workbench import trace
from workbench.trace.functions import find_functions

pytestmark = pytest.mark.bpf
torch = pytest.importorskip("torch")

_EVENTS = 1009
_NATIVE = Path(__file__).parent / "native"


def _compiled(folder, source, name):
    out = folder / name
    command = ["cc", "-O2", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-o", out, _NATIVE / source]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(out))


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return _compiled(tmp_path_factory.mktemp("cuda"), "standin.c", "libcuda.so.1")


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    return _compiled(tmp_path_factory.mktemp("points"), "points.c", "libpoints.so")


@pytest.fixture(scope="module")
def tvm(tmp_path_factory):
    """TVM's entries in a library of TVM's name: TVM itself need not be installed."""
    return _compiled(tmp_path_factory.mktemp("tvm"), "operators.c", "libtvm_ffi.so")


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    return _compiled(tmp_path_factory.mktemp("kernels"), "operators.c", "ternary-0123.so")


def _traced(probe, work):
    with trace.session((probe,), tier="bpf") as recorder:
        work()
    assert recorder.trace.meta.lost == {}
    return recorder.trace


def test_every_operator_call_is_counted_and_timed():
    tensor, big = torch.ones(8, 8), torch.ones(512, 512)

    def work():
        for _ in range(_EVENTS):
            torch.relu(tensor)
        torch.mm(big, big)

    recorded = _traced("operators", work)
    by_name = {row.name: row for row in recorded.operators}
    relu = by_name["relu"]
    assert (relu.family, relu.pid) == ("torch", os.getpid())
    # An operator is over when its result becomes a Python object: every one of them did.
    assert relu.latency.count == sum(relu.latency.slots) == _EVENTS
    assert by_name["mm"].latency.max_ns > by_name["relu"].latency.percentile(0.5)
    events = [event for event in recorded.events if event.name == "relu"]
    assert len(events) == _EVENTS
    assert all(one.time_ns + one.duration_ns <= two.time_ns for one, two in itertools.pairwise(events))


def test_an_operator_that_raises_still_raises():
    """With a return probe the exception would end the process."""

    def work():
        for _ in range(20):
            with pytest.raises(RuntimeError, match="cannot be multiplied"):
                torch.mm(torch.ones(2, 2), torch.ones(3, 3))

    recorded = _traced("operators", work)
    assert {row.name: row.latency.count for row in recorded.operators}["mm"] == 20


def _leak(kept):
    for _ in range(10):
        kept.append(torch.empty(1 << 20, dtype=torch.uint8))


def _clean():
    for _ in range(_EVENTS):
        torch.empty(1 << 12, dtype=torch.uint8)


def _sums(recorded, allocator, name):
    rows = [
        row
        for row in recorded.allocations
        if row.allocator == allocator and any(frame.name == name for frame in recorded.stack(row))
    ]
    return tuple(
        sum(getattr(row, field) for row in rows)
        for field in ("bytes", "blocks", "total_bytes", "total_blocks")
    )


def test_what_torch_holds_is_exact_to_the_byte():
    kept = []

    def work():
        _leak(kept)
        _clean()

    recorded = _traced("alloc", work)
    assert _sums(recorded, "c10", "_leak") == (10 << 20, 10, 10 << 20, 10)
    assert _sums(recorded, "c10", "_clean") == (0, 0, _EVENTS << 12, _EVENTS)


def test_a_sample_of_the_heap_estimates_it():
    kept, every = [], 65_536

    def often():
        for _ in range(20 * _EVENTS):
            torch.empty(1 << 12, dtype=torch.uint8)

    with trace.session(("alloc",), tier="bpf", heap_sample=every) as recorder:
        _leak(kept)
        often()
    # Blocks of at least that size are all followed; of the others 1,261 in 20,180, more or less 3 in 100.
    assert _sums(recorder.trace, "c10", "_leak") == (10 << 20, 10, 10 << 20, 10)
    rows = [
        row
        for row in recorder.trace.allocations
        if any(frame.name.endswith("often") for frame in recorder.trace.stack(row))
    ]
    assert sum(row.total_bytes for row in rows) == pytest.approx(20 * _EVENTS << 12, rel=0.2)
    assert sum(row.total_blocks for row in rows) == pytest.approx(20 * _EVENTS, rel=0.2)
    assert sum(row.bytes for row in rows) == sum(row.blocks for row in rows) == 0
    assert any("estimates" in note for note in recorder.trace.meta.notes)


def test_an_allocation_that_fails_still_raises():
    def work():
        with pytest.raises(RuntimeError, match="memory"):
            torch.empty(1 << 50, dtype=torch.uint8)

    assert _traced("alloc", work).allocations is not None


def _map(kept, length):
    kept.append(mmap.mmap(-1, length))


def _map_and_unmap(length):
    for _ in range(_EVENTS):
        mmap.mmap(-1, length).close()


def test_what_is_mapped_is_exact_to_the_page():
    kept = []

    def work():
        _map(kept, 1_000_000)
        _map_and_unmap(8192)

    recorded = _traced("alloc", work)
    pages = -(-1_000_000 // mmap.PAGESIZE) * mmap.PAGESIZE
    assert _sums(recorded, "mmap", "_map") == (pages, 1, 1_000_000, 1)
    assert _sums(recorded, "mmap", "_map_and_unmap") == (0, 0, 8192 * _EVENTS, _EVENTS)
    kept[0].close()


def test_every_driver_call_is_counted_with_bytes_and_time(driver):
    address = ctypes.c_uint64()

    def work():
        for _ in range(_EVENTS):
            driver.cuLaunchKernel(None, 1, 1, 1)
        for _ in range(20):
            driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(1 << 20))
            driver.cuMemcpyHtoD_v2(address, b"", ctypes.c_size_t(4096))
            driver.cuMemFree_v2(address)
        for _ in range(5):
            driver.cuCtxSynchronize()

    recorded = _traced("cuda", work)
    rows = {row.name: row for row in recorded.cuda}
    counts = {name: (row.latency.count, sum(row.latency.slots), row.bytes) for name, row in rows.items()}
    assert counts == {
        "cuLaunchKernel": (_EVENTS, _EVENTS, 0),
        "cuMemAlloc_v2": (20, 20, 20 << 20),
        "cuMemcpyHtoD_v2": (20, 20, 20 * 4096),
        "cuMemFree_v2": (20, 20, 0),
        "cuCtxSynchronize": (5, 5, 0),
    }
    assert rows["cuCtxSynchronize"].latency.total_ns >= 5_000_000
    launches = [event for event in recorded.events if event.name == "cuLaunchKernel"]
    assert all(
        "work" in {frame.name.rpartition(".")[2] for frame in recorded.stack(event)} for event in launches
    )


def test_tvm_functions_and_our_own_kernels_are_operators(tvm, kernels):
    def work():
        for _ in range(_EVENTS):
            tvm.TVMFFIFunctionCall(None, None, 0, None)
            kernels.tern_conv(1)
        tvm.TVMBackendParallelLaunch(None, None, 2)

    recorded = _traced("operators", work)
    counts = {
        (row.family, row.name): row.latency.count for row in recorded.operators if row.family != "torch"
    }
    assert counts == {
        ("tvm", "TVMFFIFunctionCall"): _EVENTS,
        ("tvm", "TVMBackendParallelLaunch"): 1,
        ("kernel", "tern_conv"): _EVENTS,
    }


def test_a_kernel_of_the_workbench_is_an_operator():
    codes = np.zeros((4, 64), np.int8)
    packed = kernels_of_ours.pack(reference.codes_of(codes), 64)
    kernels_of_ours.accumulate(
        packed, np.ones((2, 64), np.int8)
    )  # compiled and loaded before the trace begins

    def work():
        for _ in range(23):
            kernels_of_ours.accumulate(packed, np.ones((2, 64), np.int8))

    rows = [row for row in _traced("operators", work).operators if row.family == "kernel"]
    assert {row.latency.count for row in rows if row.name.startswith("tern_")} == {23}


def test_static_points_are_counted(points):
    def work():
        for n in range(_EVENTS):
            points.step(n)

    recorded = _traced("usdt", work)
    assert [(row.name, row.latency.count) for row in recorded.usdt if row.name == "standin:step"] == [
        ("standin:step", _EVENTS)
    ]


def test_a_fork_survives_a_probe_at_a_nop_of_five_bytes(points):
    """Linux 6.18 turns one that was hit into a call to where the fork has nothing."""
    counts = {}

    def work():
        points.wide(1)
        child = os.fork()
        if child == 0:
            for n in range(_EVENTS):
                points.wide(n)
            os._exit(0)
        counts[os.getpid()], counts[child] = 1, _EVENTS
        assert os.waitpid(child, 0)[1] == 0

    rows = [row for row in _traced("usdt", work).usdt if row.name == "standin:wide"]
    assert {row.pid: row.latency.count for row in rows} == counts


def test_the_first_calls_of_a_library_the_cell_loads_are_counted():
    script = (
        "from workbench import trace\n"
        "with trace.session(('operators', 'alloc'), tier='bpf') as recorder:\n"
        "    import torch\n    one = torch.ones(8, 8)\n    kept = torch.empty(1 << 20, dtype=torch.uint8)\n"
        f"    for _ in range({_EVENTS}): torch.relu(one)\n"
        "seen = recorder.trace\n"
        "print([row.latency.count for row in seen.operators if row.name == 'relu'])\n"
        "print(sum(row.bytes for row in seen.allocations if row.allocator == 'c10') >> 20)\n"
        # Of children that import torch briefly runs, calls may be missing; of this process none is.
        "own = f'in process {seen.meta.pid}'\n"
        "print([note for note in seen.meta.notes if own in note or 'not loaded' in note])\n"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout.splitlines() == [f"[{_EVENTS}]", "1", "[]"]


def test_what_is_not_loaded_is_said():
    script = (
        "from workbench import trace\nwith trace.session(('operators',), tier='bpf') as r: pass\n"
        "print(r.trace.meta.notes)"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "no operators found; torch is not loaded" in said.stdout


def test_torch_operators_are_found_and_none_is_slow():
    found = find_functions(("operators", "alloc"), os.getpid())
    found.close()
    names = {name for family, name in found.functions if family == "torch"}
    assert {"relu", "mm", "addmm", "conv2d", "layer_norm"} <= names
    assert len(names) > 2000
    assert names & {*found.slow} == set()
    # Other tests of this process loaded libraries whose files they have removed since.
    assert [note for note in found.notes if "/torch/" in note] == []
