"""OpenLineage events of real runs, as the published schema wants them; a run never fails because nobody listened."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import jsonschema
import pytest

from workbench import api
from workbench.errors import InputError, RunError, WorkbenchError
from workbench.pipeline.openlineage import UNREPORTED

SCHEMA = json.loads((Path(__file__).parent / "run_event.schema.json").read_text())


def read(path):
    """Return the events of a file, each checked."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        jsonschema.Draft202012Validator(SCHEMA).validate(event)
    return events


def outline(events):
    return [(event["eventType"], event["job"]["name"]) for event in events]


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_OPENLINEAGE", str(tmp_path / "events.jsonl"))
    return tmp_path / "events.jsonl"


@pytest.fixture
def functions(cell):
    return cell("""
        def first():
            return 1
        def second(value):
            return value + 1
        def broken(value):
            raise ValueError("no such column")
    """)


def test_a_run_and_its_steps(executor, calls, functions, file, store):
    run = executor.submit(calls(functions["first"], functions["second"]), title="prepare").id
    events = read(file)
    assert outline(events) == [
        ("START", "prepare"),
        ("START", "prepare.0-call"), ("COMPLETE", "prepare.0-call"),
        ("START", "prepare.1-call-2"), ("COMPLETE", "prepare.1-call-2"),
        ("COMPLETE", "prepare"),
    ]  # fmt: skip
    whole, first, second = events[-1], events[2], events[4]
    assert first["outputs"][0]["name"] == second["inputs"][0]["name"]
    assert second["outputs"][0]["facets"]["version"]["datasetVersion"].startswith("sha256:")
    assert {one["name"] for one in whole["outputs"]} == {
        first["outputs"][0]["name"],
        second["outputs"][0]["name"],
    }
    assert (
        second["run"]["facets"]["parent"]["run"]["runId"]
        == whole["run"]["runId"]
        == events[0]["run"]["runId"]
    )
    assert len({event["run"]["runId"] for event in events}) == 3

    # asked for again, later, they are the same
    again = file.with_name("again.jsonl")
    assert api.track(run, openlineage=str(again), store=store).published == {run: 6}
    assert read(again) == events


def test_a_failure_says_why(executor, calls, functions, file):
    with pytest.raises(WorkbenchError):
        executor.submit(calls(functions["first"], functions["broken"]), title="prepare")
    events = read(file)
    assert outline(events)[-2:] == [("FAIL", "prepare.1-call-2"), ("FAIL", "prepare")]
    for event in events[-2:]:
        assert "no such column" in event["run"]["facets"]["errorMessage"]["message"]


@pytest.fixture
def server():
    """An endpoint that keeps what is posted to it, and answers with `status`."""
    kept = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.append((self.path, self.headers.get("Authorization"), json.loads(body)))
            self.send_response(server.status)
            self.end_headers()
            self.wfile.write(b"no thanks" if server.status >= 400 else b"")

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.kept = 201, kept
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_is_posted_to(executor, calls, functions, server, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "secret")
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "team")
    executor.submit(calls(functions["first"]), title="prepare")
    assert [event["eventType"] for _, _, event in server.kept] == ["START", "START", "COMPLETE", "COMPLETE"]
    assert {(path, key) for path, key, _ in server.kept} == {("/api/v1/lineage", "Bearer secret")}
    assert {event["job"]["namespace"] for _, _, event in server.kept} == {"team"}


def test_a_run_does_not_fail_because_nobody_listens(executor, calls, functions, server, monkeypatch, store):
    server.status = 500
    monkeypatch.setenv("MLOPS_OPENLINEAGE", f"http://127.0.0.1:{server.server_port}/lineage")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "secret")
    run = executor.submit(calls(functions["first"]), title="prepare").id
    assert store.runs.get(run).state == "done"
    assert [path for path, _, _ in server.kept] == ["/lineage"], "asked once, not once an event"
    said = store.events.newest(run, UNREPORTED)
    assert "500 no thanks" in said.payload["what"]
    assert "secret" not in json.dumps(dict(said.payload))
    with pytest.raises(RunError, match="refused an OpenLineage event: 500"):
        api.track(run, openlineage=f"http://127.0.0.1:{server.server_port}/lineage", store=store)


@pytest.mark.parametrize(
    ("to", "error", "text"),
    [
        ("kafka://broker", InputError, "do not go to kafka://"),
        ("no/such/folder/events.jsonl", RunError, "cannot be written"),
        ("http://127.0.0.1:9/", RunError, "could be sent"),
        ("http://127.0.0.1:9/a b", RunError, "could be sent"),
        ("http://[::1", InputError, "no address"),
    ],
)
def test_where_events_cannot_go(to, error, text, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = store.runs.create("{}", ["call"], title="prepare")
    with pytest.raises(error, match=text) as caught:
        api.track(run, openlineage=to, store=store)
    assert caught.value.fix


def test_a_run_does_not_fail_because_something_else_answers(executor, calls, functions, monkeypatch, store):
    def talk():
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 mail ready\r\n")
            while connection.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk)
        thread.start()
        monkeypatch.setenv("MLOPS_OPENLINEAGE", f"http://127.0.0.1:{listener.getsockname()[1]}")
        run = executor.submit(calls(functions["first"]), title="prepare").id
        thread.join(60)
    assert store.runs.get(run).state == "done"
    assert "could be sent" in store.events.newest(run, UNREPORTED).payload["what"]


def test_a_run_that_goes_on_says_so(executor, calls, cell, file, tmp_path, store):
    functions = cell(
        """
        def first():
            return 1
        def waits(value):
            if not Path(flag).exists():
                raise RuntimeError("not yet")
            return value
        """,
        Path=Path,
        flag=str(tmp_path / "flag"),
    )
    with pytest.raises(WorkbenchError):
        executor.submit(calls(functions["first"], functions["waits"]), title="prepare")
    (run,) = (row.id for row in store.runs.list())
    (tmp_path / "flag").touch()
    executor.resume(run)
    kinds = [event["eventType"] for event in read(file) if event["job"]["name"] == "prepare"]
    assert kinds == ["START", "FAIL", "RUNNING", "COMPLETE"]


def test_a_run_that_goes_on_is_reported_when_somebody_listens_again(
    executor, calls, cell, server, tmp_path, monkeypatch
):
    functions = cell(
        """
        def waits():
            if not Path(flag).exists():
                raise RuntimeError("not yet")
            return 1
        """,
        Path=Path,
        flag=str(tmp_path / "flag"),
    )
    server.status = 500
    monkeypatch.setenv("MLOPS_OPENLINEAGE", f"http://127.0.0.1:{server.server_port}")
    with pytest.raises(WorkbenchError):
        executor.submit(calls(functions["waits"]), title="prepare")
    (run,) = (row.id for row in executor.store.runs.list())
    server.status = 201
    (tmp_path / "flag").touch()
    executor.resume(run)
    kinds = [event["eventType"] for _, _, event in server.kept if event["job"]["name"] == "prepare"]
    assert kinds == ["START", "RUNNING", "COMPLETE"]
