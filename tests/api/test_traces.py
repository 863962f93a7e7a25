"""Profiles as artifacts: kept, shown again, compared, handed to other tools."""

import json
import time

import pytest

import workbench as wb
from tests.trace.made import full
from workbench.errors import InputError, UnknownArtifact
from workbench.store import ArtifactDraft, Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    for name in ("before", "after"):
        folder = store.scratch()
        full(offcpu=None if name == "after" else full().offcpu).save(folder)
        store.names.set(name, store.artifacts.put(ArtifactDraft("trace", folder)))
    return store


def _busy():
    end = time.thread_time() + 0.2
    while time.thread_time() < end:
        sum(range(1000))


def test_plain_code_is_profiled_and_shown_again_elsewhere(tmp_path):
    store = Store(tmp_path / "made")
    result = wb.profile("", _busy, name="busy", hz=250, store=store)
    assert result.name == "busy"
    assert result.report.trace.total("cpu") > 0.05
    again = wb.show(result.digest, store=Store(store.home))
    assert again.report.trace == result.report.trace
    assert "Cost by line" in again.text()
    assert "<svg" in again.html()


def test_without_a_name_it_is_the_last_cell(tmp_path):
    store = Store(tmp_path / "made")
    wb.profile("", _busy, probes=("cpu",), store=store)
    assert wb.show("cell@profile", store=store).tier in ("bpf", "perf", "sampler")


def test_a_wrong_name_is_said_before_anything_runs(tmp_path):
    ran = []
    with pytest.raises(InputError, match="is not an artifact name"):
        wb.profile("", lambda: ran.append(1), name="two words", store=Store(tmp_path))
    assert ran == []


def test_two_profiles_are_compared_by_name(store):
    result = wb.diff("before", "after", store=store)
    assert "before → after" in result.text()
    assert "Change by line" in result.text()
    assert result.report.names == ("before", "after")
    json.dumps(result.to_json())


@pytest.mark.parametrize(
    ("file", "form", "start"),
    [
        ("a.pb.gz", "", b"\x1f\x8b"),
        ("a.json", "", b'{"traceEvents"'),
        ("a.txt", "", b"In[3]"),
        ("a.svg", "", b"<svg"),
        ("stacks", "collapsed", b"In[3]"),
    ],
)
def test_the_end_of_the_name_says_the_format(store, tmp_path, file, form, start):
    result = wb.export("before", tmp_path / file, form=form, store=store)
    data = (tmp_path / file).read_bytes()
    assert data.startswith(start)
    assert result.bytes == len(data)


def test_bad_requests_leave_no_file(store, tmp_path):
    with pytest.raises(InputError, match="does not say which format"):
        wb.export("before", tmp_path / "x.perf", store=store)
    with pytest.raises(InputError, match="there is no folder"):
        wb.export("before", tmp_path / "no" / "x.json", store=store)
    with pytest.raises(UnknownArtifact):
        wb.export("nothing", tmp_path / "x.json", store=store)
    assert not list(tmp_path.glob("x.*"))


def test_what_is_no_profile_is_refused(store, tmp_path):
    folder = store.scratch()
    (folder / "a").write_text("a")
    store.names.set("model", store.artifacts.put(ArtifactDraft("program", folder)))
    with pytest.raises(InputError, match="model is a program, not a profile"):
        wb.diff("model", "before", store=store)
