"""Curves: places on the canvas, a text face, and values that cannot be drawn."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from workbench.render.lines import Axes, lines

AXES = Axes("CPU s", "loss")


def points(svg):
    return [tuple(float(v) for v in p.split(",")) for p in re.search(r'points="([^"]+)"', svg)[1].split()]


def test_a_falling_curve_falls_on_the_canvas():
    picture = lines({"healed": [(0, 4.0), (5, 2.0), (10, 1.0)]}, AXES, "training")
    ET.fromstring(picture.svg)
    places = points(picture.svg)
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted(y for _, y in places)  # SVG counts down
    assert picture.text() == "training: loss over CPU s\nhealed  █▃▁  4 -> 1"


def test_points_alone_have_no_line():
    svg = lines({"a": [(1, 1), (2, 3)], "b": [(1, 2)]}, Axes("MB", "score", joined=False), "t").svg
    assert "polyline" not in svg
    assert svg.count("<circle") == 3
    assert len(set(re.findall(r'<circle[^>]+fill="([^"]+)"', svg))) == 2


def test_what_is_not_finite_is_left_out():
    svg = lines({"a": [(0, 1.0), (1, float("nan")), (2, float("inf")), (3, 2.0)]}, AXES).svg
    assert len(points(svg)) == 2
    assert "nan" not in svg
    ET.fromstring(lines({"a": []}, AXES, "nothing").svg)
    ET.fromstring(lines({"a": [(0, 5.0)]}, AXES, "one").svg)


def test_a_logarithmic_axis_has_no_zero():
    svg = lines({"a": [(0, 0.0), (1, 1.0), (2, 10.0), (3, 100.0)]}, Axes("x", "y", log_y=True)).svg
    heights = [y for _, y in points(svg)]
    assert len(heights) == 3
    assert abs((heights[0] - heights[1]) - (heights[1] - heights[2])) < 0.2


def test_names_are_escaped():
    assert "<b>" not in lines({"<b>": [(0, 1), (1, 2)]}, Axes("<i>", "y"), "<u>").svg
