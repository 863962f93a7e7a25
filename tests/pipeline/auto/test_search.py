"""The search by itself: who is raced, judged and picked, with workers that are told what to answer."""

import signal
import threading
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import codec
from workbench.compile.entry import CompileReport
from workbench.errors import CorruptArtifact, GateRefused, InputError, StepFailed
from workbench.pipeline.auto.contenders import Contender, contenders
from workbench.pipeline.auto.likeness import likeness
from workbench.pipeline.auto.race import race
from workbench.pipeline.auto.report import facts, frontier, rows_table
from workbench.pipeline.auto.search import Search
from workbench.pipeline.auto.side_by_side import side_by_side
from workbench.pipeline.auto.team import Team


class Report:
    """What a worker says of a compilation."""

    bytes = 10


class Scripted:
    """A team whose latencies and scores are given by label."""

    def __init__(self, seconds, scores, fails=()):
        self.seconds, self.scores, self.fails = seconds, scores, fails

    def ask(self, backend, timeout_s, do, **order):
        label = order["source"] + "/" + backend if do == "compile" else order["folder"]
        if label in self.fails:
            raise StepFailed("its process ended (-11)", where=backend)
        if do == "compile":
            return {"report": None}
        return {"seconds": self.seconds[label]} if do == "time" else {"score": self.scores[label]}


def search(team, field, max_drop=0.5, budget=60.0):
    found = [Contender("eager", "none"), *field]
    scheme = iter([])

    class Named(Search):
        def _compile(self, one, timeout_s):
            folder = f"{one.scheme}/{one.backend}"
            self.team.ask(one.backend, 1.0, "compile", source=one.scheme)
            one.folder, one.report, one.bytes, one.compile_s = folder, Report(), 10, 0.1

    made = Named(
        team,
        lambda name: Path(name),
        lambda: next(scheme),
        Path("x"),
        {},
        max_drop,
        1,
        budget,
        lambda *_: None,
    )
    return made.run(found), found


def verdicts(found):
    return {f"{one.scheme}/{one.backend}": one.verdict for one in found}


FIELD = (("a", "none"), ("a", "int8"), ("b", "int8"))


def field():
    return [Contender(*one) for one in FIELD]


def test_the_fastest_that_passes_is_picked():
    seconds = {"none/eager": 1.0, "none/a": 0.5, "int8/a": 0.2, "int8/b": 0.1}
    scores = {"none/eager": 98.0, "int8/a": 97.8, "int8/b": 90.0}
    (best, baseline), found = search(Scripted(seconds, scores), field())
    assert (best.backend, best.scheme) == ("a", "int8")
    assert best.ratio == pytest.approx(5.0)
    assert baseline.backend == "eager"
    assert verdicts(found)["int8/b"].startswith("refused: loses 8")


def test_a_format_that_is_slower_than_float_is_never_picked():
    seconds = {"none/eager": 1.0, "none/a": 0.5, "int8/a": 0.498, "int8/b": 3.0}
    scores = {"none/eager": 98.0, "int8/a": 99.0, "int8/b": 99.0}
    (best, _), found = search(Scripted(seconds, scores), field())
    assert (best.backend, best.scheme) == ("a", "none")
    assert verdicts(found)["int8/a"] == "slower than float"


def test_a_backend_that_crashes_costs_only_itself():
    seconds = {"none/eager": 1.0, "none/a": 0.5, "int8/a": 0.2}
    scores = {"none/eager": 98.0, "int8/a": 98.0}
    (best, _), found = search(Scripted(seconds, scores, fails={"int8/b"}), field())
    assert best.scheme == "int8"
    assert "process ended" in verdicts(found)["int8/b"]


def test_where_nothing_is_faster_eager_stays():
    seconds = {"none/eager": 1.0, "none/a": 1.5, "int8/a": 1.2, "int8/b": 2.0}
    scores = dict.fromkeys(("none/eager", "int8/a", "int8/b"), 98.0)
    (best, _), _ = search(Scripted(seconds, scores), field())
    assert best.backend == "eager"


def test_when_even_eager_cannot_be_timed_nothing_is_picked():
    team = Scripted({"none/eager": 1.0}, {"none/eager": 98.0})

    def lap(backend, timeout_s, do, **order):
        if do == "time":
            raise StepFailed("gone")
        return Scripted.ask(team, backend, timeout_s, do, **order)

    team.ask = lap
    with pytest.raises(GateRefused, match="no backend passes"):
        search(team, [])


def test_no_backend_is_given_two_things_at_once_and_all_are_done():
    busy, seen, together = set(), [], []
    both = threading.Barrier(2, timeout=60)

    def work(one):
        assert one.backend not in busy
        busy.add(one.backend)
        if one.scheme == "first":
            both.wait()  # passes only if the two run at the same time
            together.append(one.backend)
        seen.append(one)
        busy.discard(one.backend)

    todo = [Contender(backend, scheme) for scheme in ("first", "second", "third") for backend in "ab"]
    side_by_side(todo, work, 2)
    assert sorted(map(id, seen)) == sorted(map(id, todo))
    assert sorted(together) == ["a", "b"]


def test_what_a_hand_raises_ends_the_work():
    done = []

    def work(one):
        if one.scheme == "bad":
            raise CorruptArtifact("the program is damaged")
        done.append(one)

    with pytest.raises(CorruptArtifact, match="damaged"):
        side_by_side([Contender("a", "bad"), Contender("a", "never")], work, 1)
    assert done == []


def test_single_formats_may_be_asked_for():
    asked = ("eager", "int8-auto/onnxruntime", "none/onnxruntime")
    found, _ = contenders(quantized=False, onnx=False, only=asked)
    assert [one.label for one in found] == ["eager", "onnxruntime", "int8-auto/onnxruntime"]
    with pytest.raises(InputError, match="not measured in int9"):
        contenders(quantized=False, onnx=False, only=("int9/onnxruntime",))
    with pytest.raises(InputError, match="not measured in int8-auto") as caught:
        contenders(quantized=True, onnx=False, only=asked)
    assert caught.value.fix == "its formats: none"


def test_a_spent_budget_tries_nothing_more():
    team = Scripted({"none/eager": 1.0}, {"none/eager": 98.0})
    (best, _), found = search(team, field(), budget=0.0)
    assert best.backend == "eager"
    assert verdicts(found)["none/a"] == "not tried: the budget was spent"


@given(st.lists(st.floats(1e-5, 1e2), min_size=1, max_size=8))
def test_the_race_finds_the_fastest(seconds):
    baseline = Contender("eager", "none")
    runners = [Contender(str(number), "none") for number in range(len(seconds))]
    laps = {id(one): s for one, s in zip(runners, seconds, strict=True)} | {id(baseline): 1.0}
    race([baseline, *runners], baseline, lambda one: laps[id(one)], 0.0)
    best = max(runners, key=lambda one: one.ratio)
    assert laps[id(best)] == min(seconds)
    assert best.latency_ms == pytest.approx(min(seconds) * 1e3)


def test_the_frontier_keeps_whoever_is_best_in_something():
    small = Contender("a", "int4", bytes=1, ratio=1.0, score=90.0, verdict="passes")
    fast = Contender("a", "int8", bytes=2, ratio=4.0, score=90.0, verdict="picked")
    good = Contender("a", "none", bytes=4, ratio=2.0, score=99.0, verdict="passes")
    beaten = Contender("b", "none", bytes=5, ratio=1.5, score=99.0, verdict="passes")
    absent = Contender("c", "none", verdict="not installed; pip install c")
    assert frontier([small, fast, good, beaten, absent]) == {"int4/a", "int8/a", "a"}
    assert [row[0] for row in rows_table([good, absent, fast]).rows] == ["int8/a", "a", "c"]
    assert facts([fast])[0]["front"] is True


def test_likeness_is_100_for_equal_outputs_and_falls():
    class Half:
        def run(self, feeds):
            return {"y": feeds["x"] * numpy.array([1.0, 0.0], numpy.float32), "n": numpy.array([1, 2])}

    x = numpy.ones((3, 2), numpy.float32)
    same = ({"x": x * [1, 0]}, {"y": (x * [1, 0]).astype("float32"), "n": numpy.array([1, 2])})
    assert likeness(Half(), [same]) == pytest.approx(100.0)
    assert likeness(Half(), [({"x": x}, {"y": x})]) == pytest.approx(100 / 2**0.5)
    assert likeness(Half(), [({"x": x}, {"n": numpy.array([1, 3])})]) == pytest.approx(50.0)


def test_cheap_backends_and_float_come_first():
    found, absent = contenders(quantized=False, onnx=False, only=("onnxruntime", "eager"))
    assert [one.scheme for one in found[:2]] == ["none", "none"]
    assert absent == []
    assert {one.scheme for one in contenders(quantized=True, onnx=False)[0]} == {"none"}


def test_quick_backends_are_done_with_before_slow_ones_begin():
    found, _ = contenders(quantized=False, onnx=False, only=("inductor", "onnxruntime", "eager", "openvino"))
    backends = [one.backend for one in found]
    assert backends.index("inductor") > max(i for i, name in enumerate(backends) if name != "inductor")


def test_a_sweep_means_the_same_by_auto():
    from workbench.pipeline.sweep.plan import trials_of

    found, _ = contenders(quantized=False, onnx=False)
    raced = {one.backend for one in found if one.scheme == "int8-auto"}
    assert {key.partition("/")[2] for key in trials_of(("int8",), ("auto",))} == raced
    assert set(trials_of(("ternary",), ("auto",))) == {"ternary/onnxruntime", "ternary/ternary"}


def test_formats_that_come_to_the_same_program_are_compiled_once(tmp_path):
    (tmp_path / "program.pt2").write_bytes(b"the same")
    asked = []

    class Counting(Scripted):
        def ask(self, backend, timeout_s, do, **order):
            asked.append(do)
            return {"report": codec.to_json(CompileReport("a", 0.0, 0.0, 0.0, (), 1, {}))}

    made = Search(
        Counting({}, {}), lambda _: tmp_path, lambda: tmp_path, Path("x"), {}, 0.5, 1, 9.0, lambda *_: None
    )
    static, auto = Contender("a", "int8-static"), Contender("a", "int8-auto")
    for one in (static, auto):
        made._compile(one, None)
    assert (auto.verdict, static.verdict) == ("the same program as int8-static/a", "")
    assert asked == ["compile"]


def test_a_worker_that_dies_is_replaced(tmp_path):
    with Team(1, tmp_path / "log") as team:
        with pytest.raises(CorruptArtifact, match=r"backend.json is missing"):
            team.ask("eager", 60.0, "score", folder=str(tmp_path), home="", function=None, pairs=[])
        worker = team._workers["eager"]
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        with pytest.raises(StepFailed, match="its process ended"):
            team.ask("eager", 60.0, "time", folder=str(tmp_path), feeds="", least_s=0.0)
        with pytest.raises(CorruptArtifact, match=r"backend.json is missing"):
            team.ask("eager", 60.0, "score", folder=str(tmp_path), home="", function=None, pairs=[])
        assert team._workers["eager"].pid != worker.pid
    assert team._workers == {}


def test_a_worker_that_takes_too_long_is_ended(tmp_path):
    with Team(1, tmp_path / "log") as team, pytest.raises(StepFailed, match="took longer"):
        team.ask("eager", 0.0, "time", folder=str(tmp_path), feeds="", least_s=0.0)


def test_every_backend_names_formats_there_are():
    from workbench.compile.base import backend, backend_names
    from workbench.quantize.named import NAMED

    for name in backend_names():
        assert set(backend(name).schemes) <= set(NAMED), name
