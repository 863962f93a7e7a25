"""The step ``tune`` around its search: what a killed one spent counts once; records it began with are a parent."""

import pytest

from workbench.compile.relax import tuning
from workbench.compile.relax.records import FACTS_FILE, RECORDS, Facts, read_facts, write_facts
from workbench.pipeline.steps.tune import TuneStep, tune


class Context:
    """What tune() asks of a step's context; inputs are folders by name."""

    def __init__(self, root):
        self.root, self.put_with = root, {}

    def input(self, name):
        return self.root / name

    def folder(self):
        (self.root / "out").mkdir()
        return self.root / "out"

    def resumable(self, like):
        assert like.seconds == 0.0
        (self.root / "kept").mkdir(exist_ok=True)
        return self.root / "kept"

    def put(self, kind, files, **more):
        self.put_with = more
        return "made"


def test_a_killed_search_that_began_with_records_gets_the_whole_of_its_budget(tmp_path, monkeypatch):
    given = tmp_path / "given"
    given.mkdir()
    for name in RECORDS:
        (given / name).touch()
    write_facts(given, Facts("cpu", "host", "tvm", seconds=40.0))
    budgets = []

    def search(program, folder, config, seconds, tell):
        facts = read_facts(folder)
        budgets.append(seconds - facts.seconds)
        facts.seconds += 5.0
        write_facts(folder, facts)
        if len(budgets) == 1:
            raise KeyboardInterrupt
        return facts

    monkeypatch.setattr(tuning, "tune", search)
    step, context = TuneStep("program", seconds=60.0, records="given"), Context(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tune(step, context)
    assert (tmp_path / "kept" / FACTS_FILE).exists()
    tune(step, context)
    assert budgets == [60.0, 55.0]
    assert context.put_with["parents"] == ("program", "given")
    assert read_facts(tmp_path / "out").seconds == 50.0
