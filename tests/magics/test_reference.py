"""The page of commands is what the parser says."""

from __future__ import annotations

from pathlib import Path

from workbench.magics.commands import ORDER
from workbench.magics.reference import page

DOCS = Path(__file__).resolve().parents[2] / "docs" / "commands.md"


def test_the_page_is_up_to_date() -> None:
    assert DOCS.read_text() == page(), "run: python -m workbench.magics.reference > docs/commands.md"


def test_every_command_has_a_section() -> None:
    assert [line[3:] for line in page().splitlines() if line.startswith("## ")] == list(ORDER)
