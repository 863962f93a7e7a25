"""Every line the panel inserts or shows fits the parser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workbench.magics.run import parsers, words

SOURCES = Path(__file__).resolve().parents[2] / "labextension/src"
WHOLE = re.compile(r"""[`'"](%{1,2}mlops [^`'"]+)[`'"]""")


def lines() -> list[str]:
    """Return the lines in the sources, with one word for each value that is put into them."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.ts*"):
        if "__tests__" not in path.parts:
            found |= set(WHOLE.findall(path.read_text()))
    named = {re.sub(r"\$\{operation\}", "promote", line) for line in found}
    return sorted(re.sub(r"\$\{artifacts[^}]*\}", "a b", line) for line in named)


def test_there_are_lines_to_check() -> None:
    assert len(lines()) > 12


@pytest.mark.parametrize("line", lines())
def test_a_line_of_the_panel_parses(line: str) -> None:
    typed = re.sub(r"\$\{[^}]*\}", "x", line)
    command = typed.lstrip("%").removeprefix("mlops ")
    args = parsers()[0].parse_args(words(command))
    assert args.run.takes_cell or not typed.startswith("%%")
