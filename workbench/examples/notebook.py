"""Execute a tutorial notebook in a real kernel, cell by cell, and keep what it showed.

nbclient stops at the first cell that raises, also when a magic reports bad syntax; nbmake would pass such
a notebook. Outputs are normalised so that a fresh copy differs from the saved one only where the
numbers do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

CELL_TIMEOUT_S = 600
OnCell = Callable[[int, "NotebookNode"], None]


def execute(
    path: Path, *, home: Path, on_start: OnCell | None = None, on_end: OnCell | None = None
) -> NotebookNode:
    """Run every cell of a notebook and return it with its outputs.

    Parameters
    ----------
    path
        The notebook; its folder is the kernel's working directory.
    home
        The store the notebook uses (``MLOPS_HOME``).
    on_start, on_end
        Called with the index and the cell around each code cell.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raised; the message holds its traceback.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]

    def hook(callback: OnCell | None) -> Any:
        return None if callback is None else lambda cell, cell_index: callback(cell_index, cell)

    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],  # its advice on transports is not about the notebook
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=hook(on_start),
        on_cell_executed=None
        if on_end is None
        else lambda cell, cell_index, execute_reply: on_end(cell_index, cell),
    )
    environment = {**os.environ, "MLOPS_HOME": str(home), "OMP_NUM_THREADS": "1"}
    client.execute(env=environment)
    return normalised(notebook, home)


def normalised(notebook: NotebookNode, home: Path) -> NotebookNode:
    """Drop what changes without meaning: execution times, widget state, kernel details, where the store was."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            for kind, text in output.get("data", {}).items():
                if kind.startswith("text/"):
                    output.data[kind] = text.replace(str(home), ".mlops")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def text_of(cell: NotebookNode) -> str:
    """Return what a cell showed, as plain text."""
    parts = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        elif output.output_type in ("display_data", "execute_result"):
            parts.append(output.data.get("text/plain", "") + "\n")
    return "".join(parts).rstrip()


def refresh(paths: list[Path]) -> None:
    """Execute notebooks and save them in place, with outputs; each in a store of its own."""
    import tempfile

    import nbformat

    for path in paths:
        with tempfile.TemporaryDirectory() as home:
            notebook = execute(path, home=Path(home))
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        sys.stdout.write(f"{path}: {len(notebook.cells)} cells\n")


if __name__ == "__main__":
    refresh([Path(name).absolute() for name in sys.argv[1:]])
