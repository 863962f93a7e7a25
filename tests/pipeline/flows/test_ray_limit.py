"""A step on a Ray worker is held to its time, also where no signal is heard."""

import subprocess
import sys
import time

import pytest

from workbench.config import cache
from workbench.errors import StepFailed
from workbench.pipeline.executors.ray_limit import limited
from workbench.pipeline.workers.order import Order

DEAF = """
import signal, time
from workbench.pipeline.executors import ray_limit
from workbench.pipeline.workers.order import Order
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
ray_limit.GRACE_S = 0.1
with ray_limit.limited(Order("r1", 2, "deaf", "key", (), {}, timeout_s=0.2)):
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def order(path, timeout_s):
    return Order("r1", 2, path, "key", (), {}, timeout_s=timeout_s)


def test_a_worker_that_hears_no_signal_is_ended_and_its_successor_says_why():
    assert subprocess.run([sys.executable, "-c", DEAF], timeout=60, check=False).returncode == -9
    with pytest.raises(StepFailed, match=r"longer than 0\.2 s") as caught, limited(order("deaf", 0.2)):
        pytest.fail("it would run again")
    assert caught.value.where == "r1, deaf"
    assert not list(cache("ray-late").iterdir())


def test_one_that_hears_it_is_interrupted_and_one_in_time_is_left_alone():
    with pytest.raises(StepFailed, match=r"longer than 0\.05 s"), limited(order("late", 0.05)):
        time.sleep(30)
    with limited(order("quick", 30)), limited(order("without", 0)):
        pass
    assert not list(cache("ray-late").iterdir())
