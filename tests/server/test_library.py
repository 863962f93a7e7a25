import json

from workbench.server.home import Home
from workbench.server.library import Library
from workbench.store import Store


def test_an_absent_store_has_nothing(tmp_path):
    library = Library(Home(tmp_path / "absent"))
    assert library.models() == {"models": [], "refusals": []}
    assert library.profiles() == {"profiles": []}


def test_models_carry_lineage_figures_and_the_gate(tmp_path, put):
    store = Store(tmp_path)
    program = put(store, "digits")
    step = {"type": "quantize_step", "max_drop": 0.01, "config": {"scheme": "int8"}, "threads": 1}
    variant = put(
        store,
        "digits:int8",
        kind="variant",
        parents=(program,),
        step=step,
        metrics={"score": 0.97, "drop": 0.0},
    )
    store.measurements.set(variant, "latency_ms", 0.2, "ms", "")
    put(store, "digits@profile", kind="trace", parents=(variant,))
    library = Library(Home(tmp_path))
    by_name = {one["names"][0]: one for one in library.models()["models"]}
    assert set(by_name) == {"digits", "digits:int8"}
    one = by_name["digits:int8"]
    assert (one["parents"], one["gate"], one["verb"]) == ([program], "passed", "quantize")
    assert one["parameters"] == {"scheme": "int8", "max_drop": 0.01, "threads": 1}
    assert one["measured"]["latency_ms"]["value"] == 0.2
    assert by_name["digits"]["gate"] == ""
    assert [p["names"] for p in library.profiles()["profiles"]] == [["digits@profile"]]
    store.measurements.set(variant, "latency_ms", 0.1, "ms", "")  # figures move, manifests do not
    assert library.models()["models"][0]["measured"]["latency_ms"]["value"] == 0.1


def test_refusals_name_the_program_they_were_about(tmp_path, put):
    store = Store(tmp_path)
    program = put(store, "digits")
    recipe = {"steps": [{"_type": "quantize_step", "program": program, "config": {"scheme": "int4"}}]}
    run_id = store.runs.create(json.dumps(recipe), ["quantize"])
    store.events.append(run_id, 0, "step.failed", {"error": "GateRefused", "what": "dropped by 0.2"})
    store.events.append("gone", 0, "step.failed", {"error": "GateRefused", "what": "of a removed run"})
    store.events.append(run_id, 0, "step.failed", {"error": "StepFailed", "what": "died"})
    (refusal,) = Library(Home(tmp_path)).models()["refusals"]
    assert (refusal["program"], refusal["scheme"], refusal["what"]) == (program, "int4", "dropped by 0.2")
