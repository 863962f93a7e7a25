"""The environment locks that artifacts name by digest, as text: small, and kept as long as the store."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..atomic import write_bytes
from ..errors import CorruptArtifact


class Environments:
    """Canonical texts of environment locks by digest, one file each.

    Examples
    --------
    >>> import tempfile
    >>> environments = Environments(Path(tempfile.mkdtemp()))
    >>> environments.text(environments.keep('{"packages":[]}'))
    '{"packages":[]}'
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "environments"

    def keep(self, text: str) -> str:
        """Keep a text unless it is there already; return its ``sha256:<hex>``.

        Raises
        ------
        StorageFull
            If the device is full.
        """
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        path = self._folder / digest
        if not path.exists():
            self._folder.mkdir(exist_ok=True)
            write_bytes(path, data, mode=0o444)
        return f"sha256:{digest}"

    def text(self, digest: str) -> str | None:
        """Return the text with a digest, None when this store never had it.

        Raises
        ------
        CorruptArtifact
            If its bytes do not match the digest.
        """
        path = self._folder / digest.removeprefix("sha256:")
        if not path.is_file():
            return None
        data = path.read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise CorruptArtifact("an environment lock does not match its digest", where=str(path))
        return data.decode()
