import pytest

from benchmarks.harness import fresh, interleave, timed_ms
from benchmarks.samples import Samples


def test_contenders_take_turns_and_each_goes_first(capsys):
    order = []

    def contender(name):
        def measure():
            order.append(name)
            return 1.0

        return measure

    samples = Samples()
    interleave(samples, {name: contender(name) for name in "abc"}, 3)
    assert order == list("abcbcacab")
    assert samples.summary()["repeats"] == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [f"[{i}/3] a, b, c" for i in (1, 2, 3)]


def test_timed_ms_runs_the_work_once():
    calls = []
    assert timed_ms(lambda: calls.append(1)) >= 0
    assert calls == [1]


def test_fresh_reads_the_last_line_and_sets_the_environment():
    values = "[os.environ['COLOUR'], os.environ['OMP_NUM_THREADS']]"
    code = f"import json, os; print('noise'); print(json.dumps({values}))"
    assert fresh(code, COLOUR="red") == ["red", "1"]


def test_fresh_carries_the_error_of_the_process():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        fresh("1 / 0")
