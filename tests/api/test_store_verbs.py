"""show, lineage, gc, verify, runs, logs, cancel, resume: looking and tidying."""

import subprocess
import sys

import pytest

import workbench as wb
from workbench import api, codec
from workbench.errors import CorruptArtifact, InputError, RunError, UnknownArtifact, UnknownRun
from workbench.quantize import LayerRow, QuantizeConfig, QuantizeReport, SkippedLayer
from workbench.store import ArtifactDraft


@pytest.fixture
def made(store):
    """A parent and a child, both named."""
    digests = []
    for name in ("parent", "parent:int8"):
        folder = store.scratch()
        (folder / "f").write_text(name)
        draft = ArtifactDraft("data", folder, parents=tuple(digests[-1:]), metrics={"score": 0.5})
        digests.append(store.artifacts.put(draft))
        store.names.set(name, digests[-1])
    return digests


def test_show_one_and_all(store, made):
    store.measurements.set(made[1], "latency_ratio", 0.5, "ratio", "fp32 eager")
    shown = api.show("parent:int8", store=store)
    assert shown.digest == made[1]
    assert shown.score == 0.5
    for text in ("parent:int8", "latency_ratio", "fp32 eager", "f "):
        assert text in shown.text()
    assert "<script" not in shown.html()
    assert "parent:int8" in api.show(store=store).text()
    with pytest.raises(UnknownArtifact, match="no artifact is named 'parnt'") as caught:
        api.show("parnt", store=store)
    assert "parent" in caught.value.fix


def test_a_variant_is_shown_with_every_layer(store, tmp_path):
    rows = tuple(LayerRow(f"layer.{n}", "linear", "ternary", 10, 9.0) for n in range(9))
    kept = SkippedLayer("head", "linear", 10, "skip 'head'")
    report = QuantizeReport(QuantizeConfig(scheme="ternary"), rows, (kept,), 100, 400, 140)
    (tmp_path / "quantization.json").write_text(codec.dumps(report))
    store.names.set("net:ternary", store.artifacts.put(ArtifactDraft("variant", tmp_path)))
    text = api.show("net:ternary", store=store).text()
    assert "layer.8" in text
    assert "skip 'head'" in text


def test_lineage_shows_the_ancestors(store, made):
    result = api.lineage("parent:int8", store=store)
    assert result.edges == [[made[1], made[0]]]
    lines = result.text().splitlines()
    assert any(line.startswith("  parent ") for line in lines), "ancestors are indented"
    assert "made from it" not in result.text(), "nothing was"


def test_lineage_shows_what_was_made_from_it_too(store, made):
    below = api.lineage("parent", store=store).tables[-1]
    assert below.columns[0] == "made from it"
    assert [row[0] for row in below.rows] == ["parent", "  parent:int8"]


def test_gc_reports_what_went(store, made):
    store.names.remove("parent:int8")
    assert api.gc(store=store).artifacts == 0
    assert api.gc(grace_s=0, store=store).artifacts == 1
    assert not store.artifacts.exists(made[1])


def test_verify_one_and_all(store, made):
    assert api.verify(store=store).checked == 2
    for digest in made:
        path = store.artifacts.path(digest) / "f"
        path.chmod(0o644)
        path.write_text(path.read_text().upper())
    with pytest.raises(CorruptArtifact, match="do not match"):
        api.verify("parent", store=store)
    with pytest.raises(CorruptArtifact, match="2 of 2 artifacts are not whole"):
        api.verify(store=store)


def test_runs_and_their_logs(store):
    run = store.runs.create("[]", ["call"], title="call f")
    store.runs.set_state(run, "done")
    (store.home / "logs" / f"{run}.0.log").write_text("hello\n")
    history = api.runs(store=store)
    assert run in history.text()
    assert history.states == {run: "done"}
    assert history.to_pandas()["run"].tolist() == [run]
    with pytest.raises(InputError, match="has 1 table"):
        history.to_pandas(1)
    assert api.logs(run, store=store).log.endswith("hello")
    for verb in (api.logs, api.cancel, api.resume):
        with pytest.raises(UnknownRun):
            verb("r0", store=store)
    with pytest.raises(RunError, match="is done already"):
        api.cancel(run, store=store)


def test_a_thousand_runs_are_listed(store):
    with store.database.transaction() as connection:
        for number in range(1000):
            connection.execute(
                "INSERT INTO runs (id, title, recipe, executor, origin, state, driver, created_s)"
                " VALUES (?, 't', '', 'local', '', 'done', '', ?)",
                (f"r{number:04}", number),
            )
    assert len(store.runs.list(1000)) == 1000
    assert api.runs(limit=3, store=store).text().count("r099") == 3


def test_results_are_what_a_notebook_shows(store, made):
    shown = api.show("parent", store=store)
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert shown.to_json()["digest"] == made[0]
    with pytest.raises(AttributeError, match="has no 'nonsense'"):
        _ = shown.nonsense


def test_the_package_gives_the_api_lazily():
    assert wb.show is api.show
    assert wb.Store.__name__ == "Store"
    assert {"capture", "push", "Store"} <= set(dir(wb))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = wb.nonsense
    assert set(api.__all__) <= set(wb.__all__)


@pytest.mark.parametrize("verb", ["capture", "quantize", "compile"])
def test_a_verb_is_callable_before_and_after_its_package_is_imported(verb):
    code = f"""
import inspect, workbench as wb
from workbench import api
assert wb.{verb} is api.{verb}
import workbench.{verb}, workbench.{verb} as package
assert package.__path__ and wb.{verb} is package
assert inspect.signature(wb.{verb}) == inspect.signature(api.{verb})
try:
    wb.{verb}()
except TypeError as error:
    assert str(error).startswith("{verb}() missing"), error
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, workbench; before = set(sys.modules); from workbench import api; api.show;"
        "heavy = {'torch', 'numpy', 'onnx', 'onnxruntime', 'pandas', 'starlette', 'IPython'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert said.stdout == "[]\n"


def test_status_tells_interrupted_runs_from_those_under_way(store):
    store.runs.create("{}", ["train"])
    gone = store.runs.create("{}", ["train"])
    assert "2 run(s) under way" in api.status(store=store).text()
    store.runs.drive(gone, "")  # nobody
    text = api.status(store=store).text()
    assert "1 run(s) under way, 1 interrupted (%mlops resume RUN goes on)" in text
    assert gone in text
