"""How a deployment shows itself."""

from __future__ import annotations

from workbench.staging.status import DeploymentStatus, ReplicaStatus, TrackStatus


def _replica(name: str) -> ReplicaStatus:
    return ReplicaStatus(name, 7, "ready", 0, 1 << 20, "http://127.0.0.1:1")


def test_what_a_track_counts_is_shown_once_for_all_its_replicas() -> None:
    track = TrackStatus("stable", 1, "sha256:0", 1.0, (_replica("1-0"), _replica("1-1")), 40, 2, 3.0, 8.0)
    shown = DeploymentStatus(
        "m", "staging", "http://127.0.0.1:2", "stable", "user", 1, 1, (track,), (), ()
    ).table()
    requests = [row[shown.columns.index("requests")] for row in shown.rows]
    assert requests == [40, ""]
    assert [row[shown.columns.index("replica")] for row in shown.rows] == ["1-0", "1-1"]
    first, second = shown.text().splitlines()[2:4]
    assert first.endswith(" 40      2      3      8")
    assert second.endswith(" 1-1       7 ready        0   1")
