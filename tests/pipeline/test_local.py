"""The local executor: steps in processes of their own, cached, logged, retried, failing as themselves."""

import os
from pathlib import Path

import pytest

from workbench.errors import CorruptArtifact, GateRefused, StepFailed, UnknownArtifact
from workbench.pipeline import callables, child, data
from workbench.pipeline.launch import launch, outcome
from workbench.pipeline.process import StepProcess
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep


def value(run):
    return data.read(run.store.artifacts.path(run.results()[-1].output))


def test_steps_run_in_order_in_processes_of_their_own(store, executor, calls, cell):
    functions = cell(
        """
        def pid():
            import os
            return os.getpid(), os.getpgid(0), os.getsid(0)

        def passed_on(former):
            import os
            return [former, os.getpid()]
        """
    )
    run = executor.submit(calls(functions["pid"], functions["passed_on"]), title="two calls")
    (first, group, session), second = value(run)
    assert run.state == "done"
    assert len({first, second, os.getpid()}) == 3
    assert first == group == session, "a step leads its own process group and session"
    assert store.names.resolve("value-1") == run.results()[1].output


def test_events_arrive_in_order_while_it_runs(executor, calls, cell):
    seen = []
    run = executor.submit(calls(cell("def one():\n    return 1")["one"]), on_event=seen.append)
    assert [e.kind for e in seen] == ["run.started", "step.started", "step.done", "run.outputs", "run.done"]
    assert [e.seq for e in seen] == sorted(e.seq for e in seen)
    assert {e.run_id for e in seen} == {run.id}


def test_a_step_that_ran_before_starts_no_process(executor, calls, cell, tmp_path):
    source = "def count():\n    open(path, 'a').write('x')\n    return 1"
    path = tmp_path / "count"
    for _ in range(3):
        run = executor.submit(calls(cell(source, path=str(path))["count"]))
    assert path.read_text() == "x"
    assert run.row.steps_cached == 1
    assert outcome(run).cached
    assert run.results()[0].output == run.store.names.resolve("value-0")


def test_a_process_that_dies_before_it_begins_is_not_told_as_the_error_before(
    store, executor, calls, cell, monkeypatch
):
    with pytest.raises(StepFailed, match="the first reason"):
        executor.submit(calls(cell("def f():\n    raise RuntimeError('the first reason')")["f"]))
    monkeypatch.setattr("workbench.pipeline.process.spare.take", lambda told, log: None)

    def start(told, log):
        with log.open("ab") as out:
            return child.start("workbench.pipeline.absent", out=out)

    monkeypatch.setattr("workbench.pipeline.process._start", start)
    with pytest.raises(StepFailed, match="process died") as caught:
        executor.resume(store.runs.list(1)[0].id)
    assert "No module named workbench.pipeline.absent" in caught.value.fields["log"]


def test_a_listener_that_raises_leaves_no_descriptor(store, executor, calls, cell, monkeypatch):
    started = []

    class Noted(StepProcess):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            started.append(self)

    def refuse(event):
        if event.kind == "step.started":
            raise ZeroDivisionError

    monkeypatch.setattr("workbench.pipeline.executors.verbs_here.StepProcess", Noted)
    work = calls(cell("def f():\n    import time\n    time.sleep(120)\n    return 1")["f"])
    with pytest.raises(ZeroDivisionError):
        executor.submit(work, on_event=refuse)
    (process,) = started
    try:
        held = Path(f"/proc/self/fdinfo/{process.fileno()}")  # its number may be another's by now
        assert not held.exists() or f"Pid:\t{process._process.pid}\n" not in held.read_text()
    finally:
        process.end()
        process._process.wait(60)


def test_another_parameter_or_a_lost_artifact_misses_the_cache(store, executor, calls, cell, tmp_path):
    path = tmp_path / "count"
    source = "def count():\n    open(path, 'a').write('x')\n    return number"
    first = executor.submit(calls(cell(source, path=str(path), number=1)["count"]))
    executor.submit(calls(cell(source, path=str(path), number=2)["count"]))
    assert path.read_text() == "xx"
    lost = store.artifacts.path(first.results()[0].output) / "structure.json"
    lost.unlink()
    executor.submit(calls(cell(source, path=str(path), number=1)["count"]))
    assert path.read_text() == "xxx"
    store.artifacts.verify(first.results()[0].output)


def test_a_result_found_to_have_gone_bad_is_made_again(store, executor, calls, cell, tmp_path):
    path = tmp_path / "count"
    source = "def count():\n    open(path, 'a').write('x')\n    return number"
    work = calls(cell(source, path=str(path), number=1)["count"])
    digest = executor.submit(work).results()[0].output
    bad = store.artifacts.path(digest) / "structure.json"
    bad.chmod(0o600)
    bad.write_bytes(bytes(len(bad.read_bytes())))
    with pytest.raises(CorruptArtifact, match="do not match their digest"):
        store.artifacts.verify(digest)
    executor.submit(work)
    assert path.read_text() == "xx"
    store.artifacts.verify(digest)


def test_equal_recipes_give_equal_digests_in_two_stores(executor, calls, cell, tmp_path):
    from workbench.pipeline.executors.executor import Executor
    from workbench.store import Store

    function = cell("def one():\n    return {'a': [1, 2.5]}")["one"]
    here = executor.submit(calls(function)).results()[0].output
    other = Store(tmp_path / "other")
    there = Executor(other).submit(Recipe((CallStep(callables.send(other, function)),))).results()[0].output
    assert here == there


def test_an_error_crosses_as_itself(executor, calls, cell):
    source = """
        def refuse():
            from workbench.errors import GateRefused
            raise GateRefused("too bad", where="fc", fix="keep it", drop=0.5)
        """
    with pytest.raises(GateRefused, match="too bad") as caught:
        executor.submit(calls(cell(source)["refuse"]))
    assert (caught.value.where, caught.value.fix, caught.value.fields) == ("fc", "keep it", {"drop": 0.5})


def test_a_failure_is_recorded_in_the_run(store, executor, calls, cell):
    with pytest.raises(StepFailed, match="ZeroDivisionError: division by zero") as caught:
        executor.submit(calls(cell("def f():\n    return 1 / 0")["f"]))
    row = store.runs.get(store.runs.list(1)[0].id)
    assert row.state == "failed"
    assert row.steps[0].error["error"] == "StepFailed"
    assert "1 / 0" in caught.value.fields["traceback"] or "division" in caught.value.fields["traceback"]
    assert [e.kind for e in store.events.since(0, row.id)][-2:] == ["step.failed", "run.failed"]


def test_a_step_that_dies_leaves_its_log(executor, calls, cell):
    source = """
        def die():
            import os, signal
            print("last words", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    with pytest.raises(StepFailed, match="killed by SIGKILL") as caught:
        executor.submit(calls(cell(source)["die"]))
    assert "last words" in caught.value.fields["log"]
    assert "%mlops resume" in caught.value.fix


def test_a_step_that_dies_is_retried(store, executor, calls, cell, tmp_path):
    source = """
        def third_time():
            import os
            open(path, "a").write("x")
            if len(open(path).read()) < 3:
                os._exit(9)
            return "at last"
        """
    function = cell(source, path=str(tmp_path / "count"))["third_time"]
    run = executor.submit(calls(function, retries=2))
    assert value(run) == "at last"
    assert run.row.steps[0].attempt == 3
    assert [e.kind for e in store.events.since(0, run.id)].count("step.retried") == 2


def test_a_foreseen_error_is_not_retried(executor, calls, cell, tmp_path):
    source = """
        def refuse():
            from workbench.errors import EmptyData
            open(path, "a").write("x")
            raise EmptyData("nothing")
        """
    from workbench.errors import EmptyData

    with pytest.raises(EmptyData):
        executor.submit(calls(cell(source, path=str(tmp_path / "count"))["refuse"], retries=5))
    assert (tmp_path / "count").read_text() == "x"


def test_the_log_has_what_the_step_wrote(executor, calls, cell):
    source = "def speak():\n    import sys\n    print('out')\n    print('err', file=sys.stderr)\n    return 1"
    log = executor.submit(calls(cell(source)["speak"])).logs()
    assert log.splitlines() == ["--- step 0 (call) ---", "out", "err"]


def test_an_unknown_input_fails_the_step(store, executor, cell):
    function = callables.send(store, cell("def f(x):\n    return x")["f"])
    with pytest.raises(UnknownArtifact, match="no artifact is named 'nothing'"):
        executor.submit(Recipe((CallStep(function, "nothing"),)))
    assert store.runs.list(1)[0].state == "failed"


def test_a_corrupt_input_fails_the_step(store, executor, cell):
    digest = data.put(store, ["a value"])
    path = store.artifacts.path(digest) / "structure.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"value", b"VALUE"))
    function = callables.send(store, cell("def f(x):\n    return x")["f"])
    with pytest.raises(CorruptArtifact, match="do not match"):
        executor.submit(Recipe((CallStep(function, digest),)))


def test_a_function_of_the_callers_import_path_is_found(store, executor, tmp_path, monkeypatch):
    (tmp_path / "users_module_for_steps.py").write_text("def f():\n    return 'found'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import users_module_for_steps

    reference = callables.send(store, users_module_for_steps.f)
    assert reference.blob == ""
    assert value(executor.submit(Recipe((CallStep(reference),)))) == "found"


def test_a_dry_run_prints_the_recipe_and_runs_nothing(store, calls, cell):
    recipe = calls(cell("def f():\n    return 1")["f"])
    result = launch(store, recipe, title="f", dry_run=True)
    assert result.recipe["steps"][0]["_type"] == "call_step"
    assert '"_type": "call_step"' in result.text()
    assert store.runs.list() == []


def test_a_step_imports_no_torch_by_itself(executor, calls, cell):
    source = "def heavy():\n    import sys\n    return sorted({'torch', 'numpy', 'onnx'} & set(sys.modules))"
    assert value(executor.submit(calls(cell(source)["heavy"]))) == []


def test_a_run_that_ends_before_its_starter_goes_on_is_done(executor, calls, cell, monkeypatch):
    """Whoever started it in the background is held up until it is over."""
    start = child.start

    def held_up(*arguments, **options):
        process = start(*arguments, **options)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process

    monkeypatch.setattr(child, "start", held_up)
    work = cell("def one():\n    return 1\n")
    run = executor.submit(calls(work["one"]), background=True)
    assert run.state == "done"
    assert run.wait(timeout_s=30).state == "done"
