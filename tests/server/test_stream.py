"""The WebSocket of a real server: replay, live news, and many events in order."""

import json
import time

import pytest
import websocket

from workbench.server.watch import MOST_BEHIND

from .conftest import TOKEN


@pytest.fixture
def listen(server):
    """Return a function that opens the stream after a sequence number."""
    sockets = []

    def listen(since, token=TOKEN):
        address = server.base.replace("http", "ws", 1) + f"/mlops/api/stream?since={since}&token={token}"
        socket = websocket.create_connection(address, timeout=20)
        sockets.append(socket)
        return socket

    yield listen
    for socket in sockets:
        socket.close()


def _until(socket, wanted):
    """Return the messages up to the first that is wanted."""
    found = []
    while not (found and wanted(found[-1])):
        found.append(json.loads(socket.recv()))
    return found


def _append(server, run_id, count):
    for i in range(count):
        seq = server.store.events.append(
            run_id, 0, "step.progress", {"message": str(i), "fraction": i / count}
        )
    return seq


def test_a_stranger_gets_no_stream(listen):
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        listen(0, token="wrong")


def test_what_happened_before_is_replayed_and_then_comes_live(server, listen):
    run_id = server.store.runs.create("{}", ["capture"], title="streamed")
    before = server.store.events.last()
    seen = _append(server, run_id, 2)
    socket = listen(before)
    message = _until(socket, lambda m: m["type"] == "events")[-1]
    assert [event["payload"]["message"] for event in message["events"]] == ["0", "1"]
    assert (message["seq"], message["runs"][0]["title"]) == (seen, "streamed")
    server.store.events.append(run_id, 0, "step.done", {})
    message = _until(socket, lambda m: m["type"] == "events")[-1]
    assert [event["kind"] for event in message["events"]] == ["step.done"]


def test_many_events_come_once_and_in_order(server, listen):
    run_id = server.store.runs.create("{}", ["capture"])
    before = server.store.events.last()
    socket = listen(before)
    last = _append(server, run_id, 1500)
    messages = _until(socket, lambda m: m["type"] == "events" and m["seq"] >= last)
    seqs = [event["seq"] for m in messages if m["type"] == "events" for event in m["events"]]
    assert seqs == list(range(before + 1, last + 1))


def test_a_page_too_far_behind_starts_over(server):
    run_id = server.store.runs.create("{}", ["capture"])
    before = server.store.events.last()
    with server.store.database.transaction() as connection:
        row = (run_id, 0, "step.progress", "{}", time.time())
        connection.executemany(
            "INSERT INTO events (run_id, step, kind, payload, created_s) VALUES (?, ?, ?, ?, ?)",
            [row] * (MOST_BEHIND + 1),
        )
    assert server.ask(f"events?since={before}")[1] == {"type": "reset", "seq": before + MOST_BEHIND + 1}
    assert server.ask(f"events?since={before + 10 * MOST_BEHIND}")[1]["type"] == "reset"  # a younger store


def test_a_run_whose_processes_died_is_told_without_an_event(server, listen):
    run_id = server.store.runs.create("{}", ["capture"])
    server.store.runs.drive(run_id, "")
    socket = listen(server.store.events.last())
    message = _until(socket, lambda m: m["type"] == "runs" and any(r["id"] == run_id for r in m["runs"]))[-1]
    assert next(run["state"] for run in message["runs"] if run["id"] == run_id) == "interrupted"
