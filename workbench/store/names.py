"""Names people type, and the digests they mean.

::

    minilm                       a captured program
    minilm:int8                  a variant of it
    minilm:int8/onnxruntime      the variant compiled by a backend
    minilm@staging               an alias: the version an environment serves
    minilm:int8@sha256:ab12      exactly that version of the name (a unique prefix of at least 4 hex digits)
    sha256:ab12…                 exactly that artifact, whatever its name

A name is a pointer that moves; every digest it ever pointed at stays in its history, which is what the exact
form looks through.
"""

from __future__ import annotations

import builtins
import difflib
import re
import time
from dataclasses import dataclass, replace

from ..errors import InputError, UnknownArtifact
from .database import Database

_PART = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_NAME = re.compile(
    rf"(?P<base>{_PART})(:(?P<variant>{_PART}))?(/(?P<backend>{_PART}))?"
    rf"(@(sha256:(?P<digest>[0-9a-f]{{4,64}})|(?P<alias>{_PART})))?"
)
_DIGEST = re.compile(r"sha256:([0-9a-f]{4,64})")
_FORMS = "minilm, minilm:int8, minilm:int8/onnxruntime, minilm@staging, minilm@sha256:ab12, sha256:ab12"


@dataclass(frozen=True)
class ArtifactName:
    """A name taken apart.

    Parameters
    ----------
    base, variant, backend, alias
        The parts of ``base:variant/backend@alias``; empty when absent.
    digest
        Hex prefix of the exact form; empty when absent.

    Examples
    --------
    >>> ArtifactName.parse("minilm:int8/onnxruntime").variant
    'int8'
    >>> str(ArtifactName("minilm", variant="int8"))
    'minilm:int8'
    """

    base: str
    variant: str = ""
    backend: str = ""
    alias: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> ArtifactName:
        """Return the parts of a name.

        Raises
        ------
        InputError
            If the text is not a name.
        """
        found = _NAME.fullmatch(text)
        if not found or found["base"] == "sha256":
            unfilled = text.startswith(("$", "{"))  # a notebook leaves what it cannot fill in as it is
            fix = "define the variable it stands for" if unfilled else f"forms: {_FORMS}"
            raise InputError(f"{text!r} is not an artifact name", where=text, fix=fix)
        return cls(**{key: value or "" for key, value in found.groupdict().items()})

    def __str__(self) -> str:
        text = self.base + (f":{self.variant}" if self.variant else "")
        text += f"/{self.backend}" if self.backend else ""
        if self.digest:
            return f"{text}@sha256:{self.digest}"
        return text + (f"@{self.alias}" if self.alias else "")


def check_given(name: str) -> None:
    """Check, before the work is done, that its output can be called this.

    Raises
    ------
    InputError
        If the text is no name, or is the exact form, which says of itself where it points.

    Examples
    --------
    >>> check_given("minilm:int8")
    """
    if ArtifactName.parse(name).digest:
        raise InputError(
            f"{name!r} is an exact version and cannot be moved", where=name, fix="leave @sha256:... out"
        )


@dataclass(frozen=True)
class NameRow:
    """One name, the digest it points at, and when it was last moved (Unix seconds)."""

    name: str
    digest: str
    updated_s: float


class Names:
    """The pointers of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, name: str, digest: str) -> None:
        """Point a name at an artifact.

        Raises
        ------
        InputError
            If the text is no name that can be given.
        UnknownArtifact
            If the store has no such artifact.
        """
        check_given(name)
        now = time.time()
        with self._database.transaction() as connection:
            if not connection.execute("SELECT 1 FROM artifacts WHERE digest = ?", (digest,)).fetchone():
                raise UnknownArtifact(f"no artifact {digest}", where=name)
            for table in ("names", "name_history"):
                connection.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", (name, digest, now))  # noqa: S608

    def remove(self, name: str) -> None:
        """Forget a name; its artifact stays until gc finds that nothing refers to it."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM names WHERE name = ?", (name,))
            connection.execute("DELETE FROM name_history WHERE name = ?", (name,))

    def resolve(self, text: str) -> str:
        """Return the digest a name or a digest (or a unique prefix of one) means.

        Raises
        ------
        InputError
            If the text is not a name.
        UnknownArtifact
            If nothing has this name; the error suggests the names nearest to it.
        """
        bare = _DIGEST.fullmatch(text)
        if bare:
            return self._by_prefix(text, bare[1], "SELECT digest FROM artifacts WHERE digest BETWEEN ? AND ?")
        name = ArtifactName.parse(text)
        if name.digest:
            return self._by_prefix(
                text,
                name.digest,
                "SELECT digest FROM artifacts JOIN name_history USING (digest)"
                " WHERE digest BETWEEN ? AND ? AND name = ?",
                str(replace(name, digest="")),
            )
        rows = self._database.query("SELECT digest FROM names WHERE name = ?", (text,))
        if not rows:
            raise UnknownArtifact(f"no artifact is named {text!r}", where=text, fix=self._near(text))
        return str(rows[0]["digest"])

    def of(self, digest: str) -> builtins.list[str]:
        """Return the names that point at an artifact, shortest first."""
        rows = self._database.query(
            "SELECT name FROM names WHERE digest = ? ORDER BY length(name), name", (digest,)
        )
        return [row["name"] for row in rows]

    def list(self) -> builtins.list[NameRow]:
        """Return every name in alphabetical order."""
        return [NameRow(*row) for row in self._database.query("SELECT * FROM names ORDER BY name")]

    def _by_prefix(self, text: str, prefix: str, sql: str, *more: str) -> str:
        low = f"sha256:{prefix}"
        rows = self._database.query(f"{sql} LIMIT 3", (low, low + "g", *more))
        if len(rows) == 1:
            return str(rows[0]["digest"])
        if not rows:
            raise UnknownArtifact(
                f"no artifact is {text!r}", where=text, fix="%mlops show lists what there is"
            )
        raise UnknownArtifact(
            f"{text!r} means more than one artifact",
            where=text,
            fix="write more digits: " + ", ".join(str(row["digest"])[: len(low) + 8] for row in rows),
        )

    def _near(self, text: str) -> str:
        known = [row.name for row in self.list()]
        near = difflib.get_close_matches(text, known, n=3, cutoff=0.5)
        near += [name for name in known if name not in near and name.startswith(text.split(":")[0])][:3]
        if near:
            return "did you mean " + ", ".join(near[:4]) + "?"
        return (
            "%mlops show lists what there is"
            if known
            else "capture a model first: %mlops capture MODULE --name NAME"
        )
