"""One view, three faces; every module in esm/ belongs to a view and holds no way for data to become code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from workbench.errors import InputError
from workbench.render.svg import Bar, bars
from workbench.widgets.histogram import histogram
from workbench.widgets.live import ESM, MIME, LiveView, module_of

PART = bars([Bar("a", 1.0, "1")])


def test_the_faces_of_a_view_carry_the_data_and_no_code() -> None:
    bundle = LiveView("histogram", {"labels": ["</script>"], "counts": [1]}, PART).mimebundle()
    assert bundle["text/plain"] == PART.text()
    assert bundle["text/html"] == PART.html()
    assert json.loads(json.dumps(bundle[MIME])) == {
        "view": "histogram",
        "data": {"labels": ["</script>"], "counts": [1]},
    }
    assert "<script" not in bundle["text/html"]


@pytest.mark.parametrize("name", ["nope", "../live", "histogram.js", "", "H"])
def test_an_unknown_view_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(InputError, match=r"(?s)there is no view .*histogram"):
        LiveView(name, {}, PART)


@pytest.mark.filterwarnings("ignore")  # ipywidgets warns when no kernel runs
def test_the_widget_has_the_module_and_the_data() -> None:
    view = LiveView("histogram", {"counts": [1]}, PART)
    widget = view.widget()
    assert widget.data == {"counts": [1]}
    assert "export default" in str(widget._esm)


@pytest.mark.parametrize("path", sorted(ESM.glob("[a-z]*.js")), ids=lambda p: p.stem)
def test_a_module_renders_and_never_turns_data_into_markup(path: Path) -> None:
    code = module_of(path.stem)
    assert re.search(r"export default \{\s*render\(", code)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function|https?://(?!www\.w3\.org)", code
    )


def test_a_histogram_says_counts_and_shares() -> None:
    view = histogram(["1 ms", "2 ms"], [3, 0], "waits")
    assert view.text().splitlines()[1].endswith("3 (100 %)")
    assert view.data == {"labels": ["1 ms", "2 ms"], "counts": [3, 0], "title": "waits"}
    with pytest.raises(InputError, match="one count"):
        histogram(["1 ms"], [1, 2])
