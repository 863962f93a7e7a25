"""Threads that help: many callers at once, a fork, and helpers that never begin."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.kernels import reference
from workbench import kernels

CASES = [(200, 700, 1), (600, 130, 40), (64, 64, 2), (1000, 1500, 3)]


@pytest.fixture(scope="module")
def cases():
    made = []
    for seed, (k, n, m) in enumerate(CASES, 1):
        t, q = reference.random_case(seed, k, n, m)
        made.append((kernels.pack(reference.codes_of(t), k), q, q.astype(np.int64) @ t.T.astype(np.int64)))
    return made


def test_many_callers_at_once(cases):
    def work(number):
        for turn in range(40):
            packed, q, wanted = cases[(number + turn) % len(cases)]
            if not np.array_equal(kernels.accumulate(packed, q, threads=1 + turn % 4), wanted):
                return (number, turn)
        return None

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(12))) == [None] * 12


FORK = """
import os, sys
import numpy as np
from workbench import kernels
packed = kernels.PackedTernary.from_bytes(open(sys.argv[1], "rb").read())
q = np.ones((8, packed.k), np.int8)
before = kernels.accumulate(packed, q, threads=3)
child = os.fork()
same = all(np.array_equal(kernels.accumulate(packed, q, threads=3), before) for _ in range(20))
if child == 0:
    os._exit(0 if same else 7)
print(same, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_works_on_with_helpers_of_its_own(cases, tmp_path):
    weight = tmp_path / "weight.tern"
    weight.write_bytes(cases[3][0].to_bytes())
    shown = subprocess.run(
        [sys.executable, "-c", FORK, str(weight)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.stdout.split() == ["True", "0"], shown.stderr


LAZY = """
#include <pthread.h>
/* As on a machine whose cores are all taken: a thread is promised and never begins. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *with)
{
	(void)thread, (void)how, (void)run, (void)with;
	return 0;
}
"""


def test_the_caller_does_not_wait_for_threads_that_never_begin(tmp_path):
    (tmp_path / "lazy.c").write_text(LAZY)
    program = tmp_path / "check"
    sources = [kernels.SOURCES / "ternary.c", Path(__file__).parent / "check.c", tmp_path / "lazy.c"]
    command = [*kernels.compile_command("generic"), *map(str, sources), "-Wl,--wrap=pthread_create"]
    subprocess.run([*command, "-o", str(program), "-lm"], check=True)
    shown = subprocess.run([program], capture_output=True, text=True, timeout=240)
    assert "wrong 0" in shown.stdout
