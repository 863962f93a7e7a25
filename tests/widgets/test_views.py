"""Pictures beside results: drawn from the same data, absent where there is nothing to draw."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from workbench import api
from workbench.pipeline.result import Result
from workbench.render.table import Table
from workbench.staging.status import DeploymentStatus, TrackStatus
from workbench.store import ArtifactDraft, Store
from workbench.widgets.views import mimebundle, pictures


def put_artifact(store: Store, content: str, name: str, parents: tuple[str, ...] = ()) -> str:
    files = store.scratch()
    (files / "x").write_text(content)
    digest = store.artifacts.put(ArtifactDraft("program", files, parents=parents))
    store.names.set(name, digest)
    return digest


def test_a_plain_result_has_no_picture() -> None:
    result = Result("one <thing>", (Table(("a",), ((1,),)),))
    assert pictures(result) == []
    assert mimebundle(result) == {"text/plain": result.text(), "text/html": result.html()}


def test_lineage_draws_the_family_by_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    parent = put_artifact(store, "a", "minilm")
    put_artifact(store, "b", "minilm:int8", (parent,))
    (picture,) = pictures(api.lineage("minilm:int8", store=store))
    assert picture.text().splitlines() == ["  minilm", "* minilm:int8  <- minilm"]
    ElementTree.fromstring(picture.html())
    store.close()


def test_a_deployment_draws_its_traffic() -> None:
    tracks = (TrackStatus("stable", 1, "sha256:a", 0.9, ()), TrackStatus("canary", 2, "sha256:b", 0.1, ()))
    one = DeploymentStatus("minilm", "staging", "http://127.0.0.1:1", "canary", "proxy", 1, 1, tracks, (), ())
    idle = DeploymentStatus("other", "staging", "http://127.0.0.1:2", "stable", "proxy", 1, 1, (), (), ())
    (picture,) = pictures(Result("status", details={"deployments": [one, idle]}))
    assert picture.text().splitlines() == [
        "minilm@staging",
        "stable v1 ██████████████████   90 %",
        "canary v2 ██                   10 %",
    ]


def test_the_worst_layers_are_drawn_without_those_left_in_float() -> None:
    columns = ("layer", "kind", "how", "parameters", "weight dB", "output dB", "why")
    rows = (("a", "linear", "static", 1, 40.0, 15.0, ""), ("b", "linear", "float", 1, None, None, "skipped"))
    (picture,) = pictures(Result("m:int8", (Table(columns, rows),)))
    assert picture.text().splitlines()[1:] == ["a █████                15.0 dB"]


def test_a_table_without_layers_draws_nothing() -> None:
    assert pictures(Result("m:int8", (Table(("layer", "output dB"), ()),))) == []


def test_a_search_draws_what_it_scored() -> None:
    points = [
        {"label": "all ternary", "size_bytes": 1000, "score": 0.5, "passes": False, "chosen": False},
        {"label": "2 int4", "size_bytes": 3000, "score": 0.9, "passes": True, "chosen": True},
    ]
    (picture,) = pictures(Result("m:mixed", details={"pareto": points}))
    assert ElementTree.fromstring(picture.html()).findall(".//{*}circle")
    assert [line.split()[0] for line in picture.text().splitlines()[1:]] == ["taken", "does"]


def test_healing_draws_loss_and_score_beside_the_control() -> None:
    curves = {"control": [[0.0, 2.0, None], [1.0, 1.0, None]], "healed": [[0.0, 3.0, None], [1.0, 1.5, None]]}
    (picture,) = pictures(Result("m:ternary", details={"curves": curves}))
    assert [line.split()[0] for line in picture.text().splitlines()[1:]] == ["healed", "control"]
