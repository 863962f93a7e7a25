"""The tutorials of a folder as a table: title and first sentence, taken from each notebook itself."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any


class Tutorials:
    """A table of tutorials that links to them; shows itself in a notebook.

    Parameters
    ----------
    folder
        Where the notebooks lie; their names begin with a number, ``00`` is the index itself.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        paths = [path for path in sorted(Path(folder).glob("[0-9]*.ipynb")) if not path.name.startswith("00")]
        self.rows = [(path.name, *_head(path)) for path in paths]

    def text(self) -> str:
        """Return one paragraph a notebook."""
        return "\n\n".join(f"{name}\n  {title}\n  {says}" for name, title, says in self.rows)

    def html(self) -> str:
        """Return a table whose first column leads to the notebook."""
        body = "".join(
            f'<tr><td style="text-align:left"><a href="{html.escape(name)}">{html.escape(title)}</a></td>'
            f'<td style="text-align:left">{html.escape(says)}</td></tr>'
            for name, title, says in self.rows
        )
        return f"<table><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.text(), "text/html": self.html()}


def _head(path: Path) -> tuple[str, str]:
    """Return the title and the first sentence of a notebook's first cell."""
    cells = json.loads(path.read_text())["cells"]
    text = "".join(cells[0]["source"]) if cells else ""
    title, _, rest = text.strip().lstrip("# ").partition("\n")
    sentence = re.split(r"(?<=[.!?])\s", " ".join(rest.split()), maxsplit=1)[0]
    return title or path.stem, re.sub(r"[`*]", "", sentence)
