"""Pictures: well-formed, script-free, and saying the same as text."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from workbench.render.svg import Bar, Node, bars, graph

LABEL = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=12)


@given(st.lists(st.builds(Bar, LABEL, st.floats(-1, 2), LABEL), max_size=5), LABEL)
def test_bars_are_well_formed_whatever_the_labels(rows: list[Bar], title: str) -> None:
    picture = bars(rows, title)
    root = ElementTree.fromstring(picture.html())
    widths = [float(rect.get("width", 0)) for rect in root.iter() if rect.tag.endswith("rect")]
    assert all(0 <= width <= 200 for width in widths)
    assert "<script" not in picture.html()


def test_bars_as_text() -> None:
    assert bars([Bar("a", 0.5, "50 %")], "share").text() == "share\na ██████████           50 %"


def test_a_graph_runs_left_to_right_and_marks_one() -> None:
    picture = graph(
        {"p": Node(("minilm", "program")), "d": Node(("texts",)), "v": Node(("minilm:int8",), marked=True)},
        [("p", "v"), ("d", "v")],
    )
    assert picture.text().splitlines() == [
        "  minilm  program",
        "  texts",
        "* minilm:int8  <- minilm, texts",
    ]
    root = ElementTree.fromstring(picture.html())
    lefts = [float(r.get("x", 0)) for r in root.iter() if r.tag.endswith("rect")]
    assert lefts[0] == lefts[1] < lefts[2]


def test_a_diamond_keeps_each_node_once() -> None:
    nodes = {key: Node((key,)) for key in "abcd"}
    picture = graph(nodes, [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    assert [line.split()[0] for line in picture.text().splitlines()] == ["a", "b", "c", "d"]


def test_nothing_is_a_picture_too() -> None:
    assert graph({}, []).text() == ""
    ElementTree.fromstring(graph({}, []).html())
