"""One view, three faces: live in JupyterLab, static where there is no script, and a widget elsewhere.

A view is data, a static part that shows all of it, and an ECMAScript module in ``esm/`` that draws the same
data with zoom, search or hovering. The module is written for anywidget::

    export default {
      render({ model, el }) {         // el: an empty element; append to it, never use innerHTML with data
        const data = model.get("data");
        model.on("change:data", draw); // a live view is given new data
        return () => {};               // optional: called when the view goes away
      }
    };

The saved notebook holds text, script-free HTML and the data. The workbench's JupyterLab extension draws the
data with the module that the *installed* package serves, so a view stays interactive after a reload and with
no kernel, and a notebook never carries code. Everywhere else (GitHub, nbconvert, an editor without the
extension) the HTML is shown. :meth:`LiveView.widget` makes the anywidget for frontends that have one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, missing_dependency
from ..render.bundle import Part

MIME = "application/vnd.mlops.view+json"
"""What the JupyterLab extension draws; ``{"view": name, "data": {...}}``."""

ESM = Path(__file__).parent / "esm"
_SHARED = ESM / "_elements.js"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def module_of(view: str) -> str:
    """Return the source of a view's module: what all views share, then its own.

    It is one text because a page imports it from memory, and a module there can import no other.

    Raises
    ------
    InputError
        If there is no such view.
    """
    return _SHARED.read_text() + _file_of(view).read_text()


def _file_of(view: str) -> Path:
    path = ESM / f"{view}.js"
    if not _NAME.fullmatch(view) or not path.is_file():
        known = ", ".join(sorted(p.stem for p in ESM.glob("[a-z]*.js")))
        raise InputError(f"there is no view {view!r}", where="view", fix=f"views: {known}")
    return path


@dataclass(frozen=True)
class LiveView:
    """A picture that can be explored; a part like any other, so results and bundles take it.

    Parameters
    ----------
    view
        Which module of ``esm/`` draws it.
    data
        JSON-able; all the module gets.
    static
        The same as text and as HTML without scripts.

    Raises
    ------
    InputError
        If there is no such view.

    Examples
    --------
    >>> from workbench.render.svg import Bar, bars
    >>> view = LiveView("histogram", {"counts": [1]}, bars([Bar("1 ms", 1.0, "1")]))
    >>> sorted(view.mimebundle())
    ['application/vnd.mlops.view+json', 'text/html', 'text/plain']
    """

    view: str
    data: Mapping[str, Any]
    static: Part

    def __post_init__(self) -> None:
        _file_of(self.view)

    def text(self) -> str:
        """Return the static text."""
        return self.static.text()

    def html(self) -> str:
        """Return the static HTML."""
        return self.static.html()

    def mimebundle(self) -> dict[str, Any]:
        """Return all faces."""
        form = {"view": self.view, "data": dict(self.data)}
        return {"text/plain": self.text(), "text/html": self.html(), MIME: form}

    def widget(self) -> Any:
        """Return an anywidget of the view; set its ``data`` to update it.

        Raises
        ------
        MissingDependency
            If anywidget is not installed.
        """
        try:
            import anywidget
            import traitlets
        except ImportError as error:
            raise missing_dependency("anywidget", "lab") from error

        members = {
            "__doc__": f"The view {self.view}.",
            "_esm": module_of(self.view),
            "data": traitlets.Dict().tag(sync=True),
        }
        made = type("View", (anywidget.AnyWidget,), members)
        return made(data=dict(self.data))

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.mimebundle()
