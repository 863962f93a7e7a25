"""Parts below each other."""

from __future__ import annotations

from workbench.render.bundle import Bundle
from workbench.render.svg import Bar, bars
from workbench.render.table import Table


def test_both_faces_hold_every_part() -> None:
    bundle = Bundle((Table(("name",), (("<b>",),)), bars([Bar("x", 1, "all")])))
    data = bundle._repr_mimebundle_()
    assert data["text/plain"] == repr(bundle) == "name\n<b>\n\nx ████████████████████ all"
    assert "&lt;b&gt;" in data["text/html"]
    assert "<svg" in data["text/html"]
