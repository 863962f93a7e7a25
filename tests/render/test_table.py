"""One table, as text and as HTML."""

from __future__ import annotations

from workbench.render.table import Table, show


def test_text_aligns_names_left_and_numbers_right() -> None:
    table = Table(("name", "MB"), (("fp32", 90.8), ("int8", None)), title="Size", note="on disk")
    assert table.text().splitlines() == ["Size", "name   MB", "fp32 90.8", "int8    –", "on disk"]


def test_html_escapes_and_has_no_script() -> None:
    page = Table(("<b>",), (("<script>",),)).html()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_cells() -> None:
    assert [show(v) for v in (None, True, 1234567, 0.123456, 1234.5, "x")] == [
        "–", "True", "1,234,567", "0.1235", "1,234", "x",
    ]  # fmt: skip


def test_a_frame_holds_the_cells_unrounded() -> None:
    frame = Table(("name", "MB"), (("fp32", 90.81234567), ("int8", None))).to_pandas()
    assert list(frame.columns) == ["name", "MB"]
    assert frame["MB"].tolist()[0] == 90.81234567
    assert frame["MB"].isna().tolist() == [False, True]
