"""Every route against a real server: login, bad input, status codes."""

import pytest

from workbench.server.routes import TABLE

RUN = "r1"
ROUTES = [
    ("GET", "runs"),
    ("GET", f"runs/{RUN}"),
    ("DELETE", f"runs/{RUN}"),
    ("POST", f"runs/{RUN}/resume"),
    ("GET", f"runs/{RUN}/log"),
    ("GET", "events"),
    ("GET", "stream"),
    ("GET", "models"),
    ("GET", "profiles"),
    ("GET", "profiles/sha256:abcd"),
    ("GET", "deployments"),
    ("POST", "deployments/minilm/promote"),
    ("GET", "system"),
    ("GET", "views/histogram.js"),
]


def test_the_list_below_has_every_route():
    assert len({path for _, path in ROUTES}) == len(TABLE)


@pytest.mark.parametrize("token", ["", "wrong"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_wants_the_login(server, method, path, token):
    assert server.ask(path, method, token)[0] == 403


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_method_that_a_route_has_not_is_refused(server, method, path):
    assert server.ask(path, "PATCH")[0] == 405


def test_lists_runs_newest_first(server):
    ids = [server.store.runs.create("{}", ["capture"], title=f"run {i}") for i in range(3)]
    status, body = server.ask("runs?limit=3")
    assert status == 200
    assert [run["id"] for run in body["runs"]] == ids[::-1]
    assert body["seq"] == server.store.events.last()


def test_shows_and_cancels_one_run(server):
    run_id = server.store.runs.create("{}", ["capture", "quantize"], title="quantize it")
    status, body = server.ask(f"runs/{run_id}")
    assert (status, [step["verb"] for step in body["steps"]]) == (200, ["capture", "quantize"])
    status, body = server.ask(f"runs/{run_id}", "DELETE")
    assert (status, body["id"], body["cancelling"]) == (200, run_id, True)
    assert server.store.runs.cancelling(run_id)


@pytest.mark.parametrize(("method", "more"), [("DELETE", ""), ("POST", "/resume")])
def test_what_cannot_be_done_now_is_a_conflict(server, method, more):
    run_id = server.store.runs.create("{}", ["capture"])
    if method == "DELETE":
        server.store.runs.set_state(run_id, "done")
    status, body = server.ask(f"runs/{run_id}{more}", method)
    assert (status, body["error"]) == (409, "RunError")
    assert run_id in body["message"]


@pytest.mark.parametrize("run_id", ["zz", "..%2f..%2fetc", "%27%3B--", "r" * 300])
@pytest.mark.parametrize(
    ("method", "more"), [("GET", ""), ("DELETE", ""), ("POST", "/resume"), ("GET", "/log")]
)
def test_an_unknown_run_is_not_found(server, run_id, method, more):
    status, body = server.ask(f"runs/{run_id}{more}", method)
    assert (status, body["error"]) == (404, "UnknownRun")
    assert "no run has the id" in body["message"]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "%C2%B2", "", "9" * 400])
def test_a_bad_limit_is_refused(server, limit):
    status, body = server.ask(f"runs?limit={limit}")
    assert (status, body["what"]) == (400, "limit must be 1 to 1000")


@pytest.mark.parametrize("query", ["step=x", "step=7", "offset=1e3", "offset=" + "9" * 30])
def test_a_bad_place_in_a_log_is_refused(server, query):
    run_id = server.store.runs.create("{}", ["capture"])
    assert server.ask(f"runs/{run_id}/log?{query}")[0] == 400


@pytest.mark.parametrize("since", ["-1", "x", "", "9" * 30])
def test_a_bad_sequence_number_is_refused(server, since):
    assert server.ask(f"events?since={since}")[0] == 400


def test_the_plain_form_of_the_stream_replays(server):
    run_id = server.store.runs.create("{}", ["capture"], title="replayed")
    seq = server.store.events.append(run_id, 0, "step.started", {"verb": "capture"})
    status, body = server.ask(f"events?since={seq - 1}")
    assert (status, body["seq"], body["events"][0]["run_id"]) == (200, seq, run_id)
    assert body["runs"][0]["title"] == "replayed"


@pytest.mark.parametrize("digest", ["sha256:abcd", "..%2f..%2fetc%2fpasswd", "nope"])
def test_an_unknown_profile_is_refused(server, digest):
    status, body = server.ask(f"profiles/{digest}")
    assert status in (400, 404)
    assert body["error"] in ("UnknownArtifact", "InputError")


@pytest.mark.parametrize("operation", ["destroy", "__class__", "gc", "..%2fx"])
def test_an_operation_that_there_is_not_is_refused(server, operation):
    status, body = server.ask(f"deployments/minilm/{operation}", "POST")
    assert (status, body["error"]) == (400, "InputError")
    assert "promote" in body["fix"]


@pytest.mark.parametrize("operation", ["promote", "rollback", "unstage"])
def test_an_unknown_deployment_is_not_found(server, operation):
    status, body = server.ask(f"deployments/nope/{operation}", "POST")
    assert (status, body["error"]) == (404, "UnknownDeployment")


def test_the_machine_is_described(server):
    status, body = server.ask("system")
    assert status == 200
    assert {"tracing tier", "routing tier", "CPU features"} <= {one["what"] for one in body["findings"]}
    assert body["home"] == str(server.store.home)


def test_a_view_is_a_module_of_the_package_and_nothing_else_is_served(server):
    status, body = server.ask("views/histogram.js")
    assert status == 200
    assert "export default" in body
    for name in ("..%2f..%2fserver%2fhandlers.py%00", "nope", "..%2flive", "%2e%2e%2fesm%2fhistogram"):
        assert server.ask(f"views/{name}.js")[0] == 404
