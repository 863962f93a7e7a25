"""Marked lines stand out in both faces, and what is left out is counted."""

from workbench.render.listing import Listing

CODE = tuple("abcdefgh")


def test_text_marks_and_counts():
    text = Listing("code", CODE, (3, 4), context=1).text()
    assert text.splitlines() == ["code", "  … 2 lines", "  c", "> d", "> e", "  f", "  … 2 lines"]


def test_everything_without_a_context_or_marks():
    assert len(Listing("code", CODE, (3,)).text().splitlines()) == 9
    assert len(Listing("code", CODE, context=1).text().splitlines()) == 9


def test_html_is_escaped_and_has_no_script():
    html = Listing("a < b", ("<script>x</script>", "y"), (0,)).html()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<span") == 1
