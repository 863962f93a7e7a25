"""``make demo``: the main job on a real model, in the terminal.

Runs ``notebooks/02-real-model.ipynb`` in a real kernel and prints what each cell shows as it appears: a
pretrained sentence encoder is captured, quantized under a quality gate, compiled, profiled and staged,
and the staging endpoint answers. Leaves the executed notebook in ``build/``; the store stays in
``build/demo-store``, so a second run finds every step in its cache.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .notebook import execute, text_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]


def main(argv: list[str] | None = None) -> int:
    """Run the demo notebook; return 0 when every cell ran."""
    arguments = _parser().parse_args(argv)
    build: Path = arguments.out
    build.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    print(f"# {arguments.notebook.name}, store {build / 'demo-store'}", flush=True)
    notebook = execute(arguments.notebook, home=build / "demo-store", on_start=_announce, on_end=_show)
    target = build / f"{arguments.notebook.stem}.executed.ipynb"
    _write(notebook, target)
    print(f"\n# done in {time.monotonic() - began:.0f} s; executed notebook: {target}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workbench.examples.demo", description=__doc__)
    parser.add_argument("--notebook", type=Path, default=ROOT / "notebooks" / "02-real-model.ipynb")
    parser.add_argument("--out", type=Path, default=ROOT / "build")
    return parser


def _announce(index: int, cell: NotebookNode) -> None:
    if cell.cell_type == "markdown":
        heading = cell.source.splitlines()[0]
        if heading.startswith("#"):
            print(f"\n{heading}", flush=True)
        return
    print("\n" + "\n".join(f"    {line}" for line in cell.source.splitlines()), flush=True)


def _show(index: int, cell: NotebookNode) -> None:
    text = text_of(cell)
    if text:
        print(text, flush=True)


def _write(notebook: NotebookNode, target: Path) -> None:
    import nbformat

    nbformat.write(notebook, target)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    sys.exit(main())
