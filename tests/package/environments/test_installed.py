"""What a distribution's RECORD says, read with and without a parser."""

from __future__ import annotations

from pathlib import Path

from workbench.package.environments.installed import Installed

_PLAIN = "pkg/one.py,sha256=aa,10\npkg/two.py,sha256=bb,20\npkg/__pycache__/one.pyc,,\n"
_OWN = "pkg-1.dist-info/RECORD,,\npkg-1.dist-info/INSTALLER,sha256=cc,4\n../../bin/pkg,sha256=dd,9\n"


def _distribution(folder: Path, record: str) -> Installed:
    described = folder / "pkg-1.dist-info"
    described.mkdir(parents=True)
    (described / "RECORD").write_text(record)
    return Installed("pkg", "1", described)


def test_quoted_names_are_read_as_plain_ones(tmp_path: Path) -> None:
    plain = _distribution(tmp_path / "plain", _PLAIN + _OWN)
    quoted = _distribution(tmp_path / "quoted", _PLAIN.replace("pkg/one.py", '"pkg/one.py"') + _OWN)
    assert plain.contents() == quoted.contents()
    assert list(plain.files()) == list(quoted.files())


def test_a_comma_in_a_name_stays_in_the_name(tmp_path: Path) -> None:
    one = _distribution(tmp_path, '"pkg/a,b.txt",sha256=aa,10\n')
    assert list(one.files()) == ["pkg/a,b.txt"]


def test_who_installed_it_and_scripts_do_not_count(tmp_path: Path) -> None:
    with_own = _distribution(tmp_path / "own", _PLAIN + _OWN)
    without = _distribution(tmp_path / "none", _PLAIN)
    assert with_own.contents() == without.contents()


def test_another_file_counts(tmp_path: Path) -> None:
    one = _distribution(tmp_path / "one", _PLAIN)
    other = _distribution(tmp_path / "other", _PLAIN.replace("aa", "ab"))
    assert one.contents() != other.contents()


def test_a_system_package_has_no_list(tmp_path: Path) -> None:
    described = tmp_path / "pkg-1.egg-info"
    described.mkdir()
    assert list(Installed("pkg", "1", described).files()) == []
