"""What is installed, file by file, as each distribution's ``RECORD`` says.

https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..environment import normal

_REQUIRES = re.compile(r"^Requires-Dist:\s*([A-Za-z0-9][\w.-]*)([^;\n]*)(;.*)?$", re.MULTILINE)
_EXTRA = re.compile(r"\bextra\s*==")
_VOLATILE = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json")


@dataclass(frozen=True)
class Installed:
    """One installed distribution.

    Parameters
    ----------
    name, version
        As in a lock.
    record
        Its ``*.dist-info`` folder.
    """

    name: str
    version: str
    record: Path

    @property
    def site(self) -> Path:
        """The folder it is installed in."""
        return self.record.parent

    def files(self) -> Iterator[str]:
        """Yield its files, relative to :attr:`site`; compiled bytecode is not a file of the distribution."""
        for path, _ in self._rows():
            if not path.endswith(".pyc"):
                yield path

    def contents(self) -> str:
        """Return the sha256 over the digests of its files: equal for equal builds, wherever installed.

        Scripts do not count (they name their interpreter), nor does who installed it.
        """
        lines = [
            f"{path},{digest}"
            for path, digest in self._rows()
            if digest and not path.startswith("..") and path.rpartition("/")[2] not in _VOLATILE
        ]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def requires(self) -> set[str]:
        """Return the names of what it needs, without extras."""
        try:
            text = (self.record / "METADATA").read_text(errors="replace").partition("\n\n")[0]
        except OSError:
            return set()
        found = _REQUIRES.findall(text)
        return {normal(name) for name, _, marker in found if not _EXTRA.search(marker)}

    def _rows(self) -> list[tuple[str, str]]:
        """Return path and digest of each line; no parser for the many files without a quoted name, for its time."""
        try:
            text = (self.record / "RECORD").read_text(encoding="utf-8")
        except OSError:  # installed by the system's package manager: nothing is listed
            return []
        if '"' in text:
            return [(row[0], row[1]) for row in csv.reader(text.splitlines()) if len(row) > 1]
        rows = [line.rsplit(",", 2) for line in text.splitlines()]
        return [(row[0], row[1]) for row in rows if len(row) == 3]


def installed(path: Iterable[str] | None = None) -> dict[str, Installed]:
    """Return what is installed by name; the first of two versions on the path counts, as for imports."""
    from ..environment import FOLDER, search_path

    found: dict[str, Installed] = {}
    for folder in search_path() if path is None else path:
        for entry in sorted(Path(folder).glob("*.dist-info")) if folder else ():
            match = FOLDER.fullmatch(entry.name)
            if match:
                name = normal(match["name"])
                found.setdefault(name, Installed(name, match["version"], entry))
    return found


def contents(path: Iterable[str] | None = None) -> dict[str, str]:
    """Return the digest of what each installed distribution holds; a tenth of a second for 300 of them."""
    return {name: one.contents() for name, one in installed(path).items()}


def closure(names: Iterable[str], known: Mapping[str, Installed]) -> set[str]:
    """Return these distributions and all they need that is installed.

    Raises
    ------
    InputError
        If one of `names` is not installed.
    """
    waiting = [normal(name) for name in names]
    for name in waiting:
        if name not in known:
            raise InputError(f"{name} is not installed", where=name, fix=f"pip install {name}")
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found and name in known:
            found.add(name)
            waiting += known[name].requires()
    return found
