"""The project's frame: what its files promise one another, and what an import costs."""

import ast
import hashlib
import importlib.metadata
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LONGEST_MODULE = 300
HEAVY = ["torch", "onnx", "onnxruntime", "pandas", "matplotlib", "ipywidgets", "starlette", "sklearn"]

# conda-forge names that differ from PyPI's
CONDA_NAMES = {"matplotlib-base": "matplotlib"}


def _closure(requirements):
    """{name: specifier} of requirement texts, extras of the project itself unfolded."""
    found = {}
    for text in requirements:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            for extra in requirement.extras:
                found |= _closure(EXTRAS[extra])
        else:
            found[canonicalize_name(requirement.name)] = str(requirement.specifier)
    return found


def _tracked():
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if git.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in git.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_environment_yml_installs_what_pyproject_does():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (by_pip,) = (entry["pip"] for entry in environment if isinstance(entry, dict))
    by_conda = [entry for entry in environment if isinstance(entry, str)]
    assert {"python=3.11", "pip"} <= set(by_conda)
    assert "--editable ." in by_pip
    texts = [text for text in by_conda if text not in ("python=3.11", "pip")]
    texts += [text for text in by_pip if not text.startswith("--")]
    installed = {CONDA_NAMES.get(name, name): version for name, version in _closure(texts).items()}
    assert installed == _closure([*PROJECT["dependencies"], *EXTRAS["all"]])


def test_the_extras_are_there():
    assert {"torch", "onnx", "tvm", "ray", "kubeflow", "mlflow", "lab", "test", "docs"} <= set(EXTRAS)


def test_every_requirement_has_a_floor():
    for name, specifier in _closure(
        [*PROJECT["dependencies"], *(t for e in EXTRAS.values() for t in e)]
    ).items():
        assert re.search(r"[>=]=", specifier), f"{name} takes any version"


def test_constraints_satisfy_pyproject_and_pin_every_direct_dependency():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = [*Requirement(EXTRAS["all"][0]).extras, "tvm"]
    for text in [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not pinned"
        assert requirement.specifier.contains(pins[name]), f"{requirement} excludes {pins[name]}"


def test_no_pinned_package_refuses_the_python_of_debian_12():
    """Debian 12 has 3.11.2, and pip passes over a release that asks for more: nothing can be installed then."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    refused = []
    for found in importlib.metadata.distributions():
        name, asked = canonicalize_name(found.metadata["Name"]), found.metadata.get("Requires-Python")
        if pins.get(name) == found.version and asked and "3.11.2" not in SpecifierSet(asked):
            refused.append(f"{name} {found.version} needs Python {asked}")
    assert refused == []


def test_torch_is_one_exact_version_everywhere():
    version = _closure(EXTRAS["torch"])["torch"].removeprefix("==")
    assert f"TORCH := {version}\n" in (ROOT / "Makefile").read_text()
    assert f"torch=={version}\n" in (ROOT / "constraints.txt").read_text()


def test_one_version_everywhere():
    init = ast.parse((ROOT / "workbench/__init__.py").read_text())
    (python,) = (
        node.value.value
        for node in init.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__"
    )
    source = json.loads((ROOT / "labextension/package.json").read_text())["version"]
    built = json.loads((ROOT / "workbench/labextension/package.json").read_text())["version"]
    assert {python, source, built} == {PROJECT["version"]}


def test_make_help_lists_the_targets():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = {line.split()[1] for line in shown.splitlines()}
    assert listed >= {"help", "demo", "test", "lab", "lint", "bench", "clean"}


def test_ci_runs_make_test_and_hides_no_failure():
    lines = (ROOT / ".ci/run").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith("#")]
    assert code == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make test"]
    assert os.access(ROOT / ".ci/run", os.X_OK)


@pytest.fixture
def system_packages(tmp_path):
    """Return a function that runs scripts/system-packages, without root, over a list of its own."""

    def run(listed):
        folder = tmp_path / "project"
        (folder / "scripts").mkdir(parents=True)
        script = folder / "scripts/system-packages"
        script.write_bytes((ROOT / "scripts/system-packages").read_bytes())
        (folder / "system-packages.txt").write_text(listed)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        for path in [script, *script.parents]:
            mode = path.stat().st_mode
            if path.stat().st_uid == os.geteuid() and not mode & stat.S_IXOTH:
                path.chmod(stat.S_IMODE(mode) | 0o755)
        return subprocess.run(
            ["bash", str(script)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
            **nobody,
        )

    return run


@pytest.mark.skipif(not Path("/usr/bin/dpkg-query").exists(), reason="not a Debian")
def test_system_packages_are_silent_when_all_are_there(system_packages):
    result = system_packages("dpkg   # always there\n# a comment\n")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.skipif(not Path("/usr/bin/dpkg-query").exists(), reason="not a Debian")
def test_without_root_the_line_to_type_is_printed(system_packages):
    result = system_packages("dpkg\nno-such-package-1\nno-such-package-2\n")
    line = "sudo apt-get install --no-install-recommends no-such-package-1 no-such-package-2"
    assert result.returncode == 0
    assert result.stderr == f"Missing system packages. Type: {line}\n"


def test_modules_are_short():
    sizes = sorted(
        (len(path.read_text().splitlines()), str(path.relative_to(ROOT)))
        for path in (ROOT / "workbench").rglob("*.py")
    )
    print("\nlines module")
    for lines, name in reversed(sizes):
        print(f"{lines:5} {name}")
    assert [row for row in sizes if row[0] > LONGEST_MODULE] == []


LOAD_EXT = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "workbench")
assert "mlops" in shell.magics_manager.magics["line"]
"""


@pytest.mark.parametrize("code", ["import workbench", LOAD_EXT], ids=["import", "load_ext"])
def test_loading_imports_nothing_heavy(code, tmp_path):
    code += f"\nimport sys; sys.exit(' '.join(set({HEAVY}) & set(sys.modules)) or 0)"
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_no_tracked_file_names_a_place_of_one_machine():
    place = re.compile(rf"(?:{re.escape(str(ROOT))}|/(?:work|root|home/\w+|Users/\w+)/\w|/tmp/ipykernel_\d)")
    found = []
    for path in _tracked():
        text = path.read_bytes().decode("utf-8", "ignore")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in place.finditer(text)]
    assert found == []


def test_lock_files_hold_no_download_addresses():
    lock = json.loads((ROOT / "labextension/package-lock.json").read_text())
    assert [name for name, entry in lock["packages"].items() if "resolved" in entry] == []


def test_the_prebuilt_panel_is_built_from_these_sources():
    panel = ROOT / "labextension"
    files = [path for folder in ("src", "style", "schema") for path in (panel / folder).rglob("*.*")]
    files += [panel / "package.json", panel / "package-lock.json"]
    files.sort(key=lambda path: path.relative_to(panel).as_posix())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    recorded = (ROOT / "workbench/labextension/sources.sha256").read_text().strip()
    assert recorded == digest, "the panel's sources changed: run `make panel`"


def test_jupyterlab_takes_the_prebuilt_panel(tmp_path):
    folder = tmp_path / "labextensions/@mlops"
    folder.mkdir(parents=True)
    (folder / "workbench-lab").symlink_to(ROOT / "workbench/labextension")
    environment = {
        **os.environ,
        "JUPYTER_PATH": str(tmp_path),
        "JUPYTER_CONFIG_DIR": str(tmp_path),
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-m", "jupyterlab.labextensions", "list"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    shown = re.sub(r"\x1b\[\d+m", "", result.stdout + result.stderr)
    (line,) = (line for line in shown.splitlines() if "@mlops/workbench-lab v" in line)
    assert "enabled OK" in line, shown


def test_links_between_the_documents_lead_somewhere():
    broken = []
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if not re.match(r"[a-z]+:", target) and not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)} -> {target}")
    assert broken == []
