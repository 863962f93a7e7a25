"""Names of points do not cover one another, however close the points lie."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from workbench.render.bubbles import Bubble, bubbles

point = st.tuples(st.floats(0.01, 100), st.floats(0, 100), st.floats(1, 9), st.booleans())


@given(st.lists(point, min_size=1, max_size=8))
def test_names_do_not_cover_one_another(points: list[tuple[float, float, float, bool]]) -> None:
    made = [Bubble(f"int8-{n}/onnxruntime", *one) for n, one in enumerate(points)]
    picture = bubbles(made, "ms", "score", "title")
    found = re.findall(r'<text x="(\d+)" y="(\d+)"[^>]*>int8-(\d)/onnxruntime', picture.html())
    at = [(int(x), int(y)) for x, y, _ in found]
    assert sorted(int(n) for *_, n in found) == list(range(len(points)))
    wide = 6.6 * len(made[0].name)
    for n, (x, y) in enumerate(at):
        for other_x, other_y in at[:n]:
            assert abs(x - other_x) >= wide - 1 or abs(y - other_y) >= 11


def test_a_name_further_off_has_a_line_to_its_point() -> None:
    near = [Bubble("first", 1.0, 50.0, 1.0), Bubble("second", 1.0, 50.0, 1.0)]
    assert bubbles(near, "ms", "score", "title").html().count("<path") == 1
