"""A JupyterLab with the built wheel in an environment of its own, and a real browser in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "browser-token"
SHOTS = ROOT / "build" / "screenshots"
NOTEBOOK_7 = {"ServerApp": {"jpserver_extensions": {"notebook": True}}}
# Messages of JupyterLab itself or of the network going away at the end; none is ours.
NOT_OURS = re.compile(
    r"favicon|lsp|language-server|Failed to load resource.*40[14]|ResizeObserver|webmanifest"
)
# Notebook 7 looks up a setting that is not loaded yet, with and without the panel.
NOT_OURS_IN_NOTEBOOK_7 = re.compile("reading 'schema'")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the python of a fresh environment with the wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
    ]
    subprocess.run(
        [*build, folder, ROOT], check=True, timeout=120, env={**os.environ, "PATH": "/usr/bin:/bin"}
    )
    (wheel,) = folder.glob("*.whl")
    home = folder / "env"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*install, "--force-reinstall", wheel], check=True, timeout=120)
    where = subprocess.run(
        [python, "-c", "import workbench; print(workbench.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
        env=_clean_environment(),
    ).stdout
    assert str(home) in where, "the wheel is not what is imported"
    return python


def _clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MLOPS_HOME")}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, its store, the environment of its processes."""

    url: str
    root: Path
    home: Path
    python: Path
    environment: dict[str, str]
    log: Path

    def shell(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `mlops` as a user would in a shell beside it."""
        command = [str(self.python.with_name("mlops")), *words]
        return subprocess.run(command, env=self.environment, cwd=self.root, text=True, timeout=60, **options)


@pytest.fixture(scope="session")
def lab(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start JupyterLab under a base address that is not the root, as a hub does."""
    folder = tmp_path_factory.mktemp("lab")
    root, home, log = folder / "notebooks", folder / "store", folder / "lab.log"
    root.mkdir()
    shutil.copy(ROOT / "notebooks" / "01-quickstart.ipynb", root)
    _settings(
        folder / "JUPYTERLAB_SETTINGS_DIR",
        "@jupyterlab/apputils-extension/notification",
        {"fetchNews": "false"},
    )
    _settings(folder / "JUPYTER_CONFIG_DIR", "jupyter_server_config.d/notebook", NOTEBOOK_7, ".json")
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    places += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = _clean_environment() | {place: str(folder / place) for place in places}
    environment |= {"MLOPS_HOME": str(home), "OMP_NUM_THREADS": "1"}
    environment |= {"JUPYTERLAB_DIR": str(Path(sys.prefix) / "share/jupyter/lab")}
    command = [
        str(installed),
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
    ]
    command += [
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={root}",
        "--ServerApp.base_url=/user/ada/",
    ]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.news_url="]
    command += [
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, env=environment, cwd=root, stdout=sink, stderr=sink)
    try:
        yield Lab(_address(process, log), root, home, installed, environment, log)
    finally:
        process.terminate()
        process.wait(30)
        _end_what_is_left(str(folder))


def _settings(folder: Path, plugin: str, values: Any, suffix: str = ".jupyterlab-settings") -> None:
    path = folder / f"{plugin}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = re.search(r"(http://127\.0\.0\.1:\d+/user/ada)/lab", log.read_text())
        if found:
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _end_what_is_left(mark: str) -> None:
    """End replicas, routes and kernels that a failed test left: they outlive a server by design."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark in command.read_bytes().decode(errors="replace"):
                os.kill(int(command.parent.name), signal.SIGKILL)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start Chromium, the system's own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb"]
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield browser
        browser.close()


@dataclass
class Seat:
    """Somebody in front of JupyterLab: a page, and what its console complained about."""

    page: Any
    lab: Lab
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str = "lab", query: str = "reset") -> None:
        """Load JupyterLab and wait until it stands."""
        self.page.goto(f"{self.lab.url}/{path}?token={TOKEN}&{query}")
        self.page.wait_for_function("() => window.jupyterapp", timeout=60_000)
        self.page.evaluate(
            "async () => { await window.jupyterapp.started; await window.jupyterapp.restored; }"
        )
        self.command("mlops:open")
        self.page.locator(".mlops-Live[data-live=true]").wait_for()

    def command(self, name: str, **arguments: Any) -> Any:
        """Run a command of JupyterLab, as the palette would; do not wait for what it returns."""
        return self.page.evaluate(
            "([name, args]) => { window.jupyterapp.commands.execute(name, args); }", [name, arguments]
        )

    def widen(self) -> None:
        """Drag the panel's edge to the left, as people do."""
        edge = self.page.locator("#jp-right-stack").bounding_box()
        self.page.mouse.move(edge["x"] - 1, 400)
        self.page.mouse.down()
        self.page.mouse.move(edge["x"] - 110, 400, steps=4)
        self.page.mouse.up()

    def notebook(self, path: str) -> None:
        """Open a notebook, or bring it to the front, and wait for its kernel."""
        self.command("docmanager:open", path=path)
        self.page.wait_for_function(
            "path => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=path
        )
        self.kernel()

    def kernel(self) -> None:
        """Wait for the kernel of the notebook in front."""
        self.page.evaluate(
            """async () => {
              const panel = window.jupyterapp.shell.currentWidget;
              await panel.context.ready;
              await panel.sessionContext.ready;
              await panel.sessionContext.session.kernel.info;
            }"""
        )

    def section(self, name: str) -> Any:
        """Return a section of the panel, opened."""
        section = self.page.locator(f".mlops-Section[data-section={name}]")
        head = section.locator("h2 button")
        if head.get_attribute("aria-expanded") == "false":
            head.click()
        return section

    def shot(self, name: str) -> None:
        """Keep a picture of the page."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")


@pytest.fixture(scope="module")
def seat(lab: Lab, browser: Any) -> Iterator[Seat]:
    """Sit down in front of JupyterLab, with nothing open but the panel."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, locale="en-US")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(60_000)
    seat = Seat(page, lab)

    def complain(text: str) -> None:
        if not ("/notebooks/" in page.url and NOT_OURS_IN_NOTEBOOK_7.search(text)):
            seat.complaints.append(text)

    def note(message: Any) -> None:
        if message.type == "error" and not NOT_OURS.search(
            f"{message.text} {message.location.get('url', '')}"
        ):
            complain(message.text)

    def bare(request: Any) -> None:
        """Note a request of ours that a hub would refuse: one with cookies and nothing that a script must send."""
        if "/mlops/api/" in request.url and not {"x-xsrftoken", "authorization"} & set(request.headers):
            seat.complaints.append(f"without the login's headers: {request.method} {request.url}")

    page.on("request", bare)
    page.on("console", note)
    page.on("pageerror", lambda error: complain(str(error)))
    seat.open()
    yield seat
    context.close()
