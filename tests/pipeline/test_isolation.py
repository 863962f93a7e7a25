"""Steps in a sandbox: the same artifact, no network, bounded memory, nothing left behind; environments by artifact."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from workbench import api, codec
from workbench.errors import InputError, MissingDependency, StepFailed
from workbench.package.environment import lock
from workbench.package.environments import closure, installed
from workbench.package.environments.sandbox import chrooted, program
from workbench.package.isolation import Isolation
from workbench.pipeline import data
from workbench.pipeline.child import STEADY
from workbench.pipeline.executors.verbs_here import VerbsHere
from workbench.pipeline.rebuilt import image_for, root_for
from workbench.pipeline.reproduce import reproduce
from workbench.pipeline.walk.driver import PipelineDriver
from workbench.pipeline.walk.recipe import task_names
from workbench.store import ArtifactDraft, owner

if os.geteuid() != 0:
    pytest.skip("a sandbox needs root: isolation was NOT tested", allow_module_level=True)
if chrooted():
    pytest.skip("no sandbox can be made inside a chroot: isolation was NOT tested", allow_module_level=True)
if not (shutil.which("runc") or Path("/usr/sbin/runc").exists()):
    pytest.skip("runc is not installed: isolation was NOT tested", allow_module_level=True)


def no_buildah():
    if program("buildah") is None:
        return "buildah is not installed: its sandbox was NOT tested"
    asked = ["stat", "--file-system", "--format", "%T", tempfile.gettempdir()]
    if subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() == "overlayfs":
        return "buildah keeps no containers on overlayfs: its sandbox was NOT tested"
    return ""


NO_BUILDAH = no_buildah()
BUILDAH = pytest.param("buildah", marks=pytest.mark.skipif(bool(NO_BUILDAH), reason=NO_BUILDAH))


programs = pytest.mark.parametrize("sandbox", ["runc", BUILDAH], indirect=True)
"""For what does not depend on the root: the two programs that make a sandbox."""


@pytest.fixture(params=["runc", "image", BUILDAH])
def sandbox(request):
    """What makes the sandbox."""
    if request.param != "runc":
        request.getfixturevalue("one_image")(request.param)
    return request.param


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """Where the image is kept that all tests use."""
    folder = tmp_path_factory.mktemp("environments")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def one_image(environments, store):
    """Let this test's store keep its images where the others' do; make the one of this environment ready."""

    def ready(kind):
        (store.home / "environments").symlink_to(environments)
        {"image": root_for, "buildah": image_for}[kind](store, lock(), Path(sys.executable))

    return ready


@pytest.fixture
def isolated(executor, calls, cell, sandbox):
    """Run a function of a cell in a sandbox and return the artifact it made."""

    def run(source, **limits):
        recipe = replace(calls(cell(source)["f"]), isolation=Isolation(sandbox=sandbox, **limits))
        return executor.submit(recipe).results()[0].output

    return run


def nothing_left(store, pid):
    """Assert that no bundle, no container, no mount and no control group of a sandbox that a process made is there."""
    assert not list((store.home / "scratch").iterdir())
    assert str(store.home) not in Path("/proc/self/mountinfo").read_text()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/mlops-{pid}-*"))


def test_a_step_sees_no_network_and_makes_the_same_artifact(store, isolated, sandbox, executor, calls, cell):
    source = "def f():\n    import socket\n    return [name for _, name in socket.if_nameindex()]"
    assert data.read(store.artifacts.path(isolated(source))) == ["lo"]
    plain = (
        "def f():\n    import os\n    from workbench.pipeline.child import STEADY\n"
        "    return [os.environ.get(name) for name in STEADY]"
    )
    inside = isolated(plain)
    assert data.read(store.artifacts.path(inside)) == list(STEADY.values())
    ((run, _),) = store.runs.made(inside)
    with store.database.transaction() as connection:
        connection.execute("DELETE FROM cache")
    assert executor.submit(calls(cell(plain)["f"])).results()[0].output == inside
    assert store.runs.get(run).state == "done"
    nothing_left(store, os.getpid())
    (event,) = [one for one in store.events.since(0, run) if one.kind == "step.sandboxed"]
    made_by = {"runc": "runc, this machine's", "image": "runc, image sha256:", "buildah": "buildah with runc"}
    assert event.payload["sandbox"].startswith(made_by[sandbox])
    log = (store.home / "logs" / f"{run}.0.log").read_text()
    assert f"in a sandbox: {event.payload['sandbox']}" in log, "who reads the log sees what made it"


@programs
def test_a_step_that_takes_too_much_memory_is_ended_and_said_so(isolated):
    with pytest.raises(StepFailed, match=r"died .* in a sandbox with 256 MiB of memory \(--memory\)"):
        isolated("def f():\n    return len(bytearray(600 << 20))", memory_bytes=256 << 20)


@pytest.fixture
def sleeping(store, calls, cell, driving, wait, sandbox):
    """Start a step that sleeps in a sandbox; give its run, its process and who drives it."""
    recipe = calls(cell("def f():\n    import time\n    time.sleep(120)\n    return 1")["f"])
    process = driving(replace(recipe, isolation=Isolation(sandbox=sandbox)))
    run = wait(
        lambda: [r for r in store.runs.list() if store.runs.get(r.id).steps[0].state == "running"], "a step"
    )
    return run, owner.pid_of(store.runs.get(run[0].id).steps[0].owner), process


@programs
def test_an_interrupt_reaches_the_step(store, sleeping, wait):
    run, pid, process = sleeping
    process.send_signal(2)
    assert process.wait(timeout=60) == 0
    assert store.runs.get(run[0].id).state == "cancelled"
    wait(lambda: not Path(f"/proc/{pid}").exists(), "the end of the step")
    nothing_left(store, process.pid)


@programs
def test_what_killed_processes_leave_is_removed_at_the_next_step(store, sleeping, isolated, wait):
    """The driver is killed, what made the sandbox is, and then the step, which nobody waits for any more."""
    import psutil

    _, pid, process = sleeping
    started = psutil.Process(process.pid).children(recursive=True)
    for one in (process, *started):
        with contextlib.suppress(psutil.NoSuchProcess):  # buildah asks for the state with short-lived ones
            if one.pid != pid:
                one.kill()
    process.wait()
    (left,) = (store.home / "scratch").glob(f"{process.pid}:*")
    isolated("def f():\n    return 1")
    assert left.exists(), "a step that still runs keeps its sandbox"
    step = owner.of(pid)
    os.kill(pid, signal.SIGKILL)
    wait(lambda: not owner.alive(step), "the end of the step")  # whether or not anybody reaps it
    isolated("def f():\n    return 2")
    nothing_left(store, process.pid)


def test_reproduce_in_a_sandbox(store, executor, calls, cell, sandbox):
    made = executor.submit(calls(cell("def f():\n    return [1, 2]")["f"])).results()[0].output
    assert reproduce(store, made, isolation=Isolation(sandbox=sandbox)).verdict == "identical"


def test_reproduce_in_the_environment_of_an_artifact(store, calls, cell, sandbox):
    """Another one than this: what runs there imports and records nothing of this one's."""
    known, here = installed(), lock()
    names = closure(["numpy", "cloudpickle", "safetensors"], known)
    other = replace(here, packages=tuple(one for one in here.packages if one.split("==")[0] in names))
    store.environments.note(other.digest, other.text)
    source = "def f():\n    import importlib.util\n    return importlib.util.find_spec('psutil') is None"
    isolation = Isolation(sandbox=sandbox)
    recipe = replace(calls(cell(source)["f"]), isolation=isolation)
    run = store.runs.create(codec.dumps(recipe), task_names(recipe))
    PipelineDriver(store, run, verbs=VerbsHere(store, isolation, other)).drive()
    made = store.names.resolve("value-0")
    assert data.read(store.artifacts.path(made)) is True
    assert store.artifacts.manifest(made).environment == other.digest
    assert reproduce(store, made, isolation=isolation).verdict == "identical"


@programs
def test_a_machine_without_it_says_what_to_install(isolated, sandbox, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(MissingDependency, match=f"{sandbox} is not installed") as caught:
        isolated("def f():\n    return 1")
    assert caught.value.fix.startswith(f"apt-get install {sandbox}")


ROOTLESS = """
import os, sys
from pathlib import Path
from workbench.package.isolation import Isolation
from workbench.pipeline import callables, data
from workbench.pipeline.executors.executor import Executor
from workbench.pipeline.recipe import Recipe
from workbench.pipeline.steps.call import CallStep
from workbench.store import Store

cell = {"__name__": "__main__"}
exec("def f():\\n    import socket\\n    return [name for _, name in socket.if_nameindex()]", cell)
store = Store(Path(sys.argv[1]))
recipe = Recipe((CallStep(callables.send(store, cell["f"])),), isolation=Isolation(memory_bytes=1 << 30))
run = Executor(store).submit(recipe)
print(os.getuid(), run.state, data.read(store.artifacts.path(run.results()[0].output)))
"""
NOBODY = 65534


def test_a_user_without_rights_isolates_a_step(tmp_path):
    """The whole way of ``--isolate``, from `nobody`, who may read the interpreter and the code wherever they lie."""
    if shutil.which("setpriv") is None or shutil.which("unshare") is None:
        pytest.skip("util-linux is not installed: a step without root was NOT tested")
    folder = Path(tempfile.mkdtemp())
    (folder / "home").mkdir()
    needed = [sys.base_prefix, str(Path(sys.prefix).resolve()), str(Path(__file__).parents[2])]
    hidden = [path for path in needed if Path(path).is_relative_to("/root")]
    lines = ["set -e", f"chown {NOBODY}:{NOBODY} {folder}/home", f"chmod 755 {folder}"]
    for number, path in enumerate(
        hidden
    ):  # in a mount namespace of its own, where only these are below /root
        lines += [f"mkdir {folder}/{number}", f"mount --bind {path} {folder}/{number}"]
    if hidden:
        lines += ["mount -t tmpfs tmpfs /root", "chmod 755 /root"]
    for number, path in enumerate(hidden):
        lines += [f"mkdir -p {path}", f"mount --bind {folder}/{number} {path}"]
    become = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"
    lines += [f'cd {folder}/home && exec {become} "$@"']
    environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": needed[-1], "HOME": str(folder)}
    try:
        done = subprocess.run(
            [
                "unshare",
                "-m",
                "sh",
                "-c",
                "\n".join(lines),
                "sh",
                sys.executable,
                "-c",
                ROOTLESS,
                f"{folder}/home/s",
            ],
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stdout == f"{NOBODY} done ['lo']\n", done.stderr
    finally:
        shutil.rmtree(folder)


def test_the_environment_of_an_artifact(store, executor, calls, cell, tmp_path):
    executor.submit(calls(cell("def f():\n    return 1")["f"]))
    shown = api.environment("value-0", store=store)
    assert shown.changes == []
    assert any(line.startswith("numpy==") for line in shown.packages)
    api.export_environment("value-0", to=tmp_path / "out", store=store)
    assert "numpy==" in (tmp_path / "out/requirements.txt").read_text()
    assert "contents sha256:" in (tmp_path / "out/requirements.txt").read_text()
    built = api.build_environment("value-0", to=tmp_path / "env", packages=["psutil"], store=store)
    assert subprocess.run([built.python, "-c", "import psutil"], env={}).returncode == 0
    image = api.build_environment(
        "value-0", to=tmp_path / "image", image=True, packages=["psutil"], store=store
    )
    assert [label for label, _ in image.layers] == ["system", "interpreter", "packages", "workbench"]
    folder = store.scratch()
    (folder / "x").write_text("x")
    store.names.set("bare", store.artifacts.put(ArtifactDraft("data", folder)))
    with pytest.raises(InputError, match="not recorded"):
        api.environment("bare", store=store)
