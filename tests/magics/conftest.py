"""Real kernels for the magic's tests: one per module for the small questions, one per notebook otherwise."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

LOAD = "%load_ext workbench"
WAIT_S = 60


@pytest.fixture
def notebook_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that executes cells in a fresh kernel with a store of its own."""
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    def run(*cells: str, allow_errors: bool = False) -> Any:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in (LOAD, *cells)])
        client = NotebookClient(
            notebook,
            timeout=WAIT_S,
            kernel_name="python3",
            allow_errors=allow_errors,
            resources={"metadata": {"path": str(tmp_path)}},
        )
        client.execute()
        return notebook.cells[1:]

    return run


class Kernel:
    """A running kernel: send code, get the reply and the outputs."""

    def __init__(self, client: BlockingKernelClient, manager: KernelManager) -> None:
        self.client = client
        self.manager = manager

    def execute(self, code: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the reply's content and the messages that came out."""
        return self.collect(self.client.execute(code))

    def collect(self, msg_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the reply to a request that was sent, and its messages."""
        messages: list[dict[str, Any]] = []
        while True:
            message = self.client.get_iopub_msg(timeout=WAIT_S)
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
            messages.append(message)
        while True:
            reply = self.client.get_shell_msg(timeout=WAIT_S)
            if reply["parent_header"].get("msg_id") == msg_id:
                return reply["content"], messages

    def complete(self, code: str) -> list[str]:
        """Return the matches at the end of `code`, as the frontend would insert them."""
        msg_id = self.client.complete(code, len(code))
        while True:
            try:
                reply = self.client.get_shell_msg(timeout=WAIT_S)
            except queue.Empty:
                pytest.fail(f"no completion of {code!r} in {WAIT_S} s")
            if reply["parent_header"].get("msg_id") == msg_id:
                return [code[: reply["content"]["cursor_start"]] + m for m in reply["content"]["matches"]]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Yield a kernel with the extension loaded and an empty store beside it."""
    folder = tmp_path_factory.mktemp("kernel")
    manager = KernelManager(kernel_name="python3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(folder / "home"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("OMP_NUM_THREADS", "1")
        manager.start_kernel(cwd=str(folder))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=WAIT_S)
        running = Kernel(client, manager)
        assert running.execute(LOAD)[0]["status"] == "ok"
        yield running
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
