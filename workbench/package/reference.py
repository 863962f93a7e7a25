"""Where a package lies in a registry: ``http://host:port/repository[:tag][@sha256:...]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError

_FORM = re.compile(
    r"(?P<scheme>https?|oci)://(?P<host>[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:(?P<port>\d{1,5}))?"
    r"/(?P<repository>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Reference:
    """One package in one registry.

    Parameters
    ----------
    url
        The registry, ``http://host:port``.
    repository
        Path of the repository, lower case.
    tag
        ``latest`` when none is given.
    digest
        Exactly this manifest, whatever the tag says; empty when not pinned.

    Examples
    --------
    >>> Reference.parse("http://127.0.0.1:5000/models/minilm:int8").tag
    'int8'
    """

    url: str
    repository: str
    tag: str = "latest"
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Take a reference apart; ``oci://`` means ``https://``.

        Raises
        ------
        InputError
            If it is none.
        """
        found = _FORM.fullmatch(text)
        if not found:
            raise InputError(
                f"{text!r} is no place in a registry",
                where="registry",
                fix="http://127.0.0.1:5000/models/minilm:int8",
            )
        scheme = "https" if found["scheme"] == "oci" else found["scheme"]
        port = f":{found['port']}" if found["port"] else ""
        url = f"{scheme}://{found['host']}{port}"
        return cls(url, found["repository"], found["tag"] or "latest", found["digest"] or "")

    @property
    def oci(self) -> str:
        """The form that Kubernetes tools take: ``oci://host:port/repository:tag``, pinned when a digest is known."""
        pin = f"@{self.digest}" if self.digest else ""
        return f"oci://{self.url.partition('://')[2]}/{self.repository}:{self.tag}{pin}"
