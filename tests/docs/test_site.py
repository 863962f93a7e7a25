"""The site builds with warnings as errors, fetches nothing, and has a page for every verb; Chinese keeps step."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import workbench.api
from workbench.examples.index import Tutorials
from workbench.magics.commands import ORDER

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "workbench/locale/zh_CN/LC_MESSAGES/mlops_workbench.json"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", out)
    assert done.returncode == 0, done.stderr
    return out


def build(config: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build a site as `make docs` does. With `--quiet` mkdocs would not count warnings."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    return subprocess.run(
        [*command, "--site-dir", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=200
    )


DOCSTRING = '''
def double(x: int) -> int:
    """Return it twice.

    Parameters
    ----------
    y
        There is no such parameter.
    """
    return 2 * x
'''


def test_a_link_to_nowhere_and_a_docstring_that_is_wrong_fail_the_build(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/index.md").write_text("[a](other.md#nowhere)\n\n::: twice\n")
    (tmp_path / "pages/other.md").write_text("# Other\n")
    (tmp_path / "twice.py").write_text(DOCSTRING)
    config = tmp_path / "mkdocs.yml"
    config.write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: pages\nnav: [index.md, other.md]\n")
    done = build(config, tmp_path / "site")
    assert done.returncode == 1
    assert "does not contain an anchor '#nowhere'" in done.stderr
    assert "Parameter 'y' does not appear in the function signature" in done.stderr


def test_it_builds_and_the_reference_comes_from_docstrings(site: Path) -> None:
    page = (site / "reference/api/index.html").read_text()
    assert "workbench.api.quantize" in page
    assert "Refuse a variant that scores lower than the program by more than this." in page


def test_the_reference_has_every_public_function() -> None:
    page = (ROOT / "docs/reference/api.md").read_text()
    (members,) = re.findall(r"members:\s*\[([^\]]*)\]", page)
    assert sorted(re.split(r",\s*", members)) == sorted(workbench.api.__all__)


def test_a_readers_browser_fetches_nothing_from_elsewhere(site: Path) -> None:
    fetched = re.compile(
        r"""<(?:script|img|iframe)[^>]*\ssrc="?(https?:[^"\s>]+)|<link[^>]*rel="?(?:stylesheet|preconnect|preload)[^>]*href="?(https?:[^"\s>]+)"""
    )
    found = {match[0] for page in site.rglob("*.html") for match in fetched.finditer(page.read_text())}
    assert found == set()


def test_every_command_is_told_in_a_how_to() -> None:
    told = "\n".join(path.read_text() for path in (ROOT / "docs").rglob("*.md") if path.name != "commands.md")
    assert [name for name in ORDER if not re.search(rf"mlops {name}\b", told)] == []


def _strings() -> set[str]:
    sources = "\n".join(path.read_text() for path in (ROOT / "labextension/src").rglob("*.ts*"))
    return set(re.findall(r"""trans\.__\(\s*'((?:[^'\\]|\\.)*)'""", sources))


def test_the_chinese_catalogue_has_every_string_of_the_panel_and_no_other() -> None:
    catalogue = json.loads(CATALOGUE.read_text())
    ours = {key for key in catalogue if key and "\x04" not in key}
    assert ours == _strings()


def test_translations_keep_their_places() -> None:
    places = re.compile(r"%\d")
    for key, (chinese,) in ((k, v) for k, v in json.loads(CATALOGUE.read_text()).items() if k):
        assert sorted(places.findall(key)) == sorted(places.findall(chinese)), key


def test_the_settings_are_translated_too() -> None:
    catalogue = json.loads(CATALOGUE.read_text())
    schema = json.loads((ROOT / "labextension/schema/panel.json").read_text())
    shown = [schema["title"], schema["description"]]
    shown += [one[key] for one in schema["properties"].values() for key in ("title", "description")]
    assert [text for text in shown if f"schema\x04{text}" not in catalogue] == []


def test_the_chinese_quickstart_has_the_code_and_the_outputs_of_the_english_one() -> None:
    english, chinese = (
        nbformat.read(ROOT / "notebooks" / name, as_version=4)
        for name in ("01-quickstart.ipynb", "zh/01-quickstart.ipynb")
    )
    assert [cell.id for cell in chinese.cells] == [cell.id for cell in english.cells]
    for one, other in zip(english.cells, chinese.cells, strict=True):
        if one.cell_type == "code":
            assert (one.source, len(one.outputs)) == (other.source, len(other.outputs)), one.id
        else:
            assert re.search(r"[\u4e00-\u9fff]", other.source), other.id


def test_the_chinese_readme_types_the_lines_of_the_english_one() -> None:
    lines = [
        {
            line.split("#")[0].strip()
            for line in (ROOT / name).read_text().splitlines()
            if line.startswith("%mlops")
        }
        for name in ("README.md", "README.zh.md")
    ]
    assert lines[0] <= lines[1]


def test_the_index_takes_titles_from_the_notebooks() -> None:
    table = Tutorials(ROOT / "notebooks")
    assert table.rows[0][0] == "01-quickstart.ipynb"
    assert len(table.rows) == len(list((ROOT / "notebooks").glob("[0-9]*.ipynb"))) - 1
    assert all(title and says for _, title, says in table.rows)
    assert 'href="01-quickstart.ipynb"' in table.html()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").rglob("*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_links_only_to_what_is_there(path: Path) -> None:
    """In its prose and in the pages its cells left; addresses of a deployment are no links."""
    text = []
    for cell in nbformat.read(path, as_version=4).cells:
        text.append(cell.source if cell.cell_type == "markdown" else "")
        text += [
            output["data"].get("text/html", "") for output in cell.get("outputs", []) if "data" in output
        ]
    found = re.findall(r"""\]\(([^)\s]+)\)|href=["']([^"']+)["']""", "\n".join(text))
    local = {link.partition("#")[0] for pair in found for link in pair if link and ":" not in link}
    assert [link for link in sorted(local) if link and not (path.parent / link).exists()] == []
