"""The doctor finds what is missing and has a line to type for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.doctor import Examination, Finding, examine, kernel, machine, packages


def one(findings, what: str) -> Finding:
    return next(finding for finding in findings if finding.what == what)


def test_everything_is_looked_at_once_and_what_is_not_well_has_a_fix() -> None:
    found = examine().findings
    places = [(finding.group, finding.what) for finding in found]
    assert len(set(places)) == len(places)
    names = {what for _, what in places}
    assert {
        "python",
        "torch",
        "onnxruntime",
        "BTF",
        "capabilities",
        "cgroups",
        "clang",
        "gcc",
        "store",
    } <= set(names)
    assert [f.what for f in found if f.state in ("bad", "missing") and not f.fix] == []
    assert [f.what for f in found if f.state == "ok" and f.fix] == []


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "OPTIONAL", {"no-such-package": "onnx"})
    monkeypatch.setattr(packages, "NEEDED", ("no-other-package",))
    optional, needed = (
        one(packages.findings(), "no-such-package"),
        one(packages.findings(), "no-other-package"),
    )
    assert (optional.state, optional.fix) == ("missing", "pip install 'mlops-workbench[onnx]'")
    assert (needed.state, needed.fix) == ("bad", "pip install no-other-package")


def test_without_type_information_the_tier_below_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kernel, "BTF", tmp_path / "absent")
    found = list(kernel.findings())
    assert one(found, "BTF").state == "missing"
    tier = one(found, "tracing tier")
    assert tier.state == "missing"
    assert "BTF" in tier.fix
    assert not tier.value.startswith("bpf")


def test_without_rights_the_sampler_is_what_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "paranoid").write_text("3\n")
    monkeypatch.setattr(kernel, "PARANOID", tmp_path / "paranoid")
    monkeypatch.setattr(kernel, "held", set)
    found = list(kernel.findings())
    assert one(found, "tracing tier").value == "sampler: python stacks only"
    assert "perf_event_paranoid" in one(found, "perf_event_paranoid").fix
    assert "AmbientCapabilities" in one(found, "capabilities").fix


def test_without_cgroups_it_says_how_to_mount_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text("proc /proc proc rw 0 0\n")
    monkeypatch.setattr(kernel, "MOUNTS", tmp_path / "mounts")
    found = one(kernel.findings(), "cgroups")
    assert found.value == "not mounted"
    assert found.fix.startswith("mount -t cgroup2")


def test_the_routing_tier_says_why_it_is_not_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.route.kernel.machine.unavailable", lambda: "no rights")
    assert one(kernel.findings(), "routing tier").value == "user-space proxy: no rights"
    monkeypatch.setattr("workbench.route.kernel.machine.unavailable", lambda: "")
    assert one(kernel.findings(), "routing tier").state == "ok"


def test_a_missing_compiler_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert one(machine.findings(), "clang").fix.startswith("apt-get install clang")


def test_arm_features_are_read_too() -> None:
    assert machine.features("Features\t: fp asimd asimddp i8mm sve") == ["asimddp", "i8mm", "sve"]
    assert machine.features("") == []


def test_the_table_counts_what_is_broken_and_hints_begin_with_it() -> None:
    optional = Finding("packages", "a", "not installed", "missing", "pip install a")
    broken = Finding("machine", "b", "full", "bad", "tidy up")
    examination = Examination((Finding("machine", "c", "fine", "ok"), optional, broken))
    assert "1 to mend" in examination.text()
    assert [hint.what for hint in examination.hints] == ["b", "a"]
    assert "<script" not in examination.html()
    assert "nothing is broken" in Examination(()).text()
