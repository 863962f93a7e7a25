import os
import threading
import time

import pytest

from tests.trace.workload import cpu_of, hot, spin, warm
from workbench import trace
from workbench.errors import InputError, NoPrivilege, TraceError
from workbench.trace.perf_event import open_clock


def _perf_refused():
    try:
        os.close(open_clock(99, pid=0, own=True))
    except (NoPrivilege, TraceError, AttributeError, OSError) as error:
        return str(error)
    return ""


_REFUSED = _perf_refused()
_tiers = pytest.mark.parametrize(
    "tier", [pytest.param("perf", marks=pytest.mark.skipif(bool(_REFUSED), reason=_REFUSED)), "sampler"]
)


@_tiers
def test_cpu_shares(tier):
    """Shares of what the process itself used; in turns, so that a moment in which nobody could look hits both."""
    began = time.thread_time()
    with trace.session(hz=250, tier=tier) as recorder:
        for _ in range(8):
            hot(0.1)
            warm(0.05)
        used = time.thread_time() - began
        time.sleep(0.2)
    more, less, seen = (
        cpu_of(recorder.trace, "hot"),
        cpu_of(recorder.trace, "warm"),
        recorder.trace.total("cpu"),
    )
    assert more / (more + less) == pytest.approx(2 / 3, abs=0.08)
    assert more + less > 0.6 * used
    assert seen == pytest.approx(used, rel=0.35)
    assert recorder.trace.meta.tier == tier


@_tiers
def test_sleeping_threads_weigh_nothing(tier):
    done = threading.Event()
    sleeper = threading.Thread(target=done.wait, name="sleeper")
    sleeper.start()
    with trace.session(("cpu",), hz=250, tier=tier) as recorder:
        spin(0.3)
    done.set()
    sleeper.join()
    of_sleeper = sum(sample.value for sample in recorder.trace.samples if sample.tid == sleeper.native_id)
    assert of_sleeper < 0.02


@_tiers
def test_faults_are_counted_and_what_is_not_seen_is_none(tier):
    with trace.session(tier=tier) as recorder:
        bytearray(64 << 20)
    recorded = recorder.trace
    assert recorded.faults[0].count > 0
    assert (recorded.waits, recorded.calls) == (None, None)


@_tiers
def test_another_process_is_refused(tier):
    with pytest.raises(TraceError, match="only this process"):
        trace.session(tier=tier, pid=1).__enter__()


def test_without_any_rights_the_sampler_says_why(monkeypatch):
    monkeypatch.setattr("workbench.trace.recorder.TIERS", dict(_refusing()))
    with trace.session(("cpu",)) as recorder:
        pass
    assert recorder.trace.meta.tier == "sampler"
    assert recorder.trace.meta.reasons == ("bpf: not here", "perf: not here")


def _refusing():
    from workbench.trace.recorder import TIERS

    class Refused:
        def __init__(self, wanted):
            pass

        def start(self):
            raise NoPrivilege("not here")

    return {**TIERS, "bpf": Refused, "perf": Refused}


def test_a_failing_block_still_leaves_its_trace():
    recorder = trace.session(("cpu",), tier="sampler")
    with pytest.raises(ZeroDivisionError), recorder:
        spin(0.1)
        raise ZeroDivisionError
    assert recorder.trace.total("cpu") > 0


def test_the_trace_is_not_there_before_the_end():
    with (
        trace.session(tier="sampler") as recorder,
        pytest.raises(TraceError, match="when the block has ended"),
    ):
        _ = recorder.trace


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"probes": ("cpu", "shell")}, "no probe is called 'shell'"),
        ({"probes": ()}, "no probe given"),
        ({"hz": 0}, "hz is 0"),
        ({"hz": 99.5}, "hz is 99.5"),
        ({"tier": "magic"}, "no tier is called 'magic'"),
    ],
)
def test_bad_arguments(arguments, said):
    with pytest.raises(InputError, match=said):
        trace.session(**arguments)
