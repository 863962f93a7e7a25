"""Where events go: lines of a file, or POST requests to an endpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError, RunError

TIMEOUT_S = 5.0
_PATH = "api/v1/lineage"


def send(events: Iterable[Mapping[str, Any]], to: str) -> int:
    """Send events in order; return how many.

    Parameters
    ----------
    to
        ``http://HOST`` or ``https://HOST``: each is posted to ``/api/v1/lineage`` there (``OPENLINEAGE_ENDPOINT`` names
        another path; a URL with a path is taken as it is), with ``OPENLINEAGE_API_KEY`` as the bearer's token. Anything
        else is a file, to which a line of JSON is added for each.

    Raises
    ------
    InputError
        If the address is no file's and no http server's.
    RunError
        If it cannot be written, or the server refuses or does not answer within five seconds.
    """
    lines = [json.dumps(event, sort_keys=True) for event in events]
    scheme, separator, _ = to.partition("://")
    if not separator or scheme == "file":
        _append(Path(to.removeprefix("file://")).expanduser(), lines)
    elif scheme in ("http", "https"):
        for line in lines:
            _post(_address(to), line.encode())
    else:
        raise InputError(
            f"OpenLineage events do not go to {scheme}://", where=to, fix="name a file or an http(s) address"
        )
    return len(lines)


def _append(path: Path, lines: list[str]) -> None:
    """Add lines with one write, so that runs which end together do not mix theirs."""
    try:
        with path.open("ab", buffering=0) as file:
            file.write("".join(line + "\n" for line in lines).encode())
    except OSError as error:
        raise RunError(
            f"OpenLineage events cannot be written: {error}",
            where=str(path),
            fix="make the folder, or name another file",
        ) from error


def _address(to: str) -> str:
    from urllib.parse import urlsplit

    try:
        path = urlsplit(to).path
    except ValueError as error:
        raise InputError(f"this is no address: {error}", where=to, fix="http://HOST:PORT") from error
    if path.strip("/"):
        return to
    return f"{to.rstrip('/')}/{os.environ.get('OPENLINEAGE_ENDPOINT', _PATH).lstrip('/')}"


def _post(url: str, body: bytes) -> None:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    headers = {"Content-Type": "application/json"}
    key = os.environ.get("OPENLINEAGE_API_KEY")
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        with urlopen(Request(url, body, headers, method="POST"), timeout=TIMEOUT_S):  # noqa: S310 - http(s) only
            return
    except HTTPError as error:
        said = error.read(500).decode("utf-8", "replace")
        raise RunError(
            f"the server refused an OpenLineage event: {error.code} {said}".strip(),
            where=url,
            fix="check the address, and OPENLINEAGE_API_KEY if it wants a key",
        ) from error
    except (OSError, ValueError, HTTPException) as error:  # the last: what answers there speaks no HTTP
        raise RunError(
            f"no OpenLineage event could be sent: {error}",
            where=url,
            fix="check the address; %mlops track RUN --openlineage URL sends them later",
        ) from error
