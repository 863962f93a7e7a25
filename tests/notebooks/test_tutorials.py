"""Every tutorial runs from top to bottom in a real kernel, and its saved copy has outputs."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from workbench.examples import demo, notebook

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
TUTORIALS = sorted(FOLDER.glob("[0-9]*.ipynb"))
Executed = Mapping[Path, "Future[Path]"]


EXECUTE = """
import sys
from pathlib import Path
import nbformat
from workbench.examples import notebook
path, home, out = map(Path, sys.argv[1:])
nbformat.write(notebook.execute(path, home=home), out)
"""


@pytest.fixture(scope="module")
def executed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executed]:
    """Execute the chosen tutorials, two at a time, each with a store of its own: the tests wait for them in turn.

    Processes that a failed notebook left behind are ended.
    """
    folder = tmp_path_factory.mktemp("tutorials")
    asked = [item.callspec.params["path"] for item in request.session.items if _executes(item)]
    with ThreadPoolExecutor(2) as pool:
        try:
            yield {path: pool.submit(_execute, path, folder / path.stem) for path in asked}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            _end(str(folder))


def _executes(item: pytest.Item) -> bool:
    return getattr(item, "originalname", "") == test_it_runs_and_tells_its_story.__name__


def _execute(path: Path, folder: Path) -> Path:
    """Run a tutorial in a process of its own: its loop and its sockets warn as they like; return its folder."""
    folder.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", EXECUTE, str(path), str(folder / "store")]
    done = subprocess.run([*command, str(folder / "executed.ipynb")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def _end(mark: str) -> None:
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = status.read_bytes()
        except OSError:
            continue
        if mark in command.decode(errors="replace"):
            os.kill(int(status.parent.name), signal.SIGKILL)


def shown(executed: nbformat.NotebookNode) -> str:
    return "\n".join(notebook.text_of(cell) for cell in executed.cells)


@pytest.mark.timeout(900)  # two at a time, on a machine that may be busy with other work
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda p: p.stem)
def test_it_runs_and_tells_its_story(path: Path, executed: Executed) -> None:
    for package in ("ray", "kfp") if path.stem == "07-production" else ():
        pytest.importorskip(package)
    folder = executed[path].result()
    home, text = folder / "store", shown(nbformat.read(folder / "executed.ipynb", as_version=4))
    assert "GateRefused" not in text
    if path.stem == "00-index":  # a map: it makes no store
        assert "%mlops quantize" in text
        assert "tracing tier" in text
        return
    states = sqlite3.connect(home / "workbench.db").execute("select distinct state from runs").fetchall()
    assert ("running",) not in states
    if path.stem == "01-quickstart":
        right = re.search(r"(\d+) of 200 right; answered by \{(.*)\}", text)
        assert right, text
        assert int(right[1]) > 185
        assert "stable" in right[2]
        assert "canary" in right[2]
    if path.stem == "06-staging":
        assert "by the sentinel because of latency" in text
        assert "version 3 gets all requests" in text
    if path.stem == "03-ternary":
        assert "the gate refused ternary" in text
        assert text.count("fp32, trained as long") == 2  # the control, for both models
        assert "all int4" in text
        assert "hot loop" in text
    if path.stem == "04-compile":
        assert re.search(r"^True (eager|onnxruntime|openvino) \S+$", text, re.MULTILINE), text  # found again
        assert "of peak" in text
        assert re.search(r"^digits:int8/onnxruntime +(head|features|nowhere)", text, re.MULTILINE), (
            text
        )  # by layer
    if path.stem == "05-profile":
        assert re.search(r"In\[4\] line \d+ +words = \[word\.strip|words = \[re\.sub", text), text
        if text.count("with tier bpf") == 6:
            assert re.search(r"history\.append\(.* 10 +40 +10 +120 c10", text), text
            assert re.search(r"with lock: .* python at In\[7\] line \d+", text), text
            assert re.search(r"violation +connect +127\.0\.0\.2:\d+ +1 .* In\[9\] line 8", text), text
    if path.stem == "07-production":
        assert re.search(r"made here: +(sha256:\S+)\nmade on Ray: +\1", text), text
        assert "3 of 3 steps are the same on local and kubeflow" in text
        assert "it reads a clock" in text
        assert "an artifact, carried" in text
        assert len(re.findall(r"^digits\S* +(?:identical|same files) ", text, re.MULTILINE)) == 3, text
    if path.stem == "02-real-model":
        recall = re.search(r"100 queries: recall@1 (0\.\d+)", text)
        assert recall, text
        assert float(recall[1]) > 0.15  # one among 2,000 definitions


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda p: p.stem)
def test_the_saved_copy_has_outputs_and_no_errors(path: Path) -> None:
    saved = nbformat.read(path, as_version=4)
    code = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    pages = [o.data["text/html"] for o in outputs if "data" in o and "text/html" in o.data]
    assert pages
    assert not [page for page in pages if "<script" in page]
    assert all("text/plain" in o.data for o in outputs if "data" in o)


def write_notebook(path: Path, *cells: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells]), path)
    return path


def test_the_demo_prints_cells_and_leaves_the_notebook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_notebook(tmp_path / "n.ipynb", "print(6 * 7)")
    assert demo.main(["--notebook", str(source), "--out", str(tmp_path / "build")]) == 0
    text = capsys.readouterr().out
    assert "    print(6 * 7)\n42" in text
    executed = nbformat.read(tmp_path / "build" / "n.executed.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text == "42\n"


def test_bad_syntax_of_a_magic_fails_the_notebook(tmp_path: Path) -> None:
    source = write_notebook(tmp_path / "n.ipynb", "%load_ext workbench", "%mlops quantise", "print('never')")
    with pytest.raises(CellExecutionError):
        notebook.execute(source, home=tmp_path / "store")
