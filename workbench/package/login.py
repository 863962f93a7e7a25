"""Who we are to a registry: a user name and password, from the environment or from docker's configuration.

``MLOPS_REGISTRY_AUTH=user:password`` comes first, then ``auths`` of ``$DOCKER_CONFIG/config.json`` (or
``~/.docker/config.json``), as ``docker login`` without a credential helper writes it. A registry asks for them
with 401: either as they are (*Basic*), or in exchange for a token at the address it names (*Bearer*,
https://distribution.github.io/distribution/spec/auth/token/). Neither is logged, printed or put into an error.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import os
import re
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from ..errors import RegistryError

VARIABLE = "MLOPS_REGISTRY_AUTH"

_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_MOST_BYTES = 1 << 20
_FIX = f"set {VARIABLE}=user:password, or docker login"


class Login:
    """What to send with each request to one registry.

    Parameters
    ----------
    url
        Of the registry, ``http://host:port``.
    timeout_s
        For asking for a token.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._header = ""
        self._tries = 0

    def headers(self) -> dict[str, str]:
        """Return the header to add; nothing before the registry has asked for it."""
        return {"authorization": self._header} if self._header else {}

    def answer(self, challenge: str) -> bool:
        """Take in what a 401 asks for; return whether trying again makes sense.

        Raises
        ------
        RegistryError
            If the credentials would go over the network in the clear, or no token is given for them.
        """
        kind, _, rest = challenge.partition(" ")
        asked: dict[str, str] = dict(_CHALLENGE.findall(rest))
        secret = credentials(self._url)
        before, self._header = self._header, ""
        if kind.lower() == "basic" and secret:
            _refuse_clear_text(self._url)
            self._header = _basic(secret)
        elif kind.lower() == "bearer" and "realm" in asked:
            self._header = "Bearer " + self._token(asked, secret)
            self._tries += 1
            return self._tries < 100  # a token runs out, and is asked for anew
        return self._header not in ("", before)

    def _token(self, asked: dict[str, str], secret: str) -> str:
        realm = urlsplit(asked["realm"])
        if realm.scheme != "https":
            _refuse_clear_text(asked["realm"])
        query = urlencode([(key, asked[key]) for key in ("service", "scope") if key in asked])
        kind = http.client.HTTPSConnection if realm.scheme == "https" else http.client.HTTPConnection
        connection = kind(str(realm.hostname), realm.port, timeout=self._timeout_s)
        try:
            path = f"{realm.path or '/'}?{'&'.join(filter(None, (realm.query, query)))}"
            connection.request("GET", path, headers={"authorization": _basic(secret)} if secret else {})
            answer = connection.getresponse()
            data = answer.read(_MOST_BYTES)
            if answer.status != 200:
                raise RegistryError(
                    f"no token for this login ({answer.status})", where=realm.netloc, fix=_FIX, status=401
                )
            found = json.loads(data)
            return str(found.get("token") or found["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise RegistryError("no token in the answer", where=realm.netloc, status=401) from error
        finally:
            connection.close()


def credentials(url: str) -> str:
    """Return ``user:password`` for a registry, empty when nobody said any.

    Examples
    --------
    >>> os.environ[VARIABLE] = "ann:secret"
    >>> credentials("http://127.0.0.1:5000")
    'ann:secret'
    >>> del os.environ[VARIABLE]
    """
    if secret := os.environ.get(VARIABLE, ""):
        return secret
    folder = Path(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser()
    host = urlsplit(url).netloc
    try:
        known = json.loads((folder / "config.json").read_bytes())["auths"]
        entry = known.get(host) or known.get(f"https://{host}") or known.get(f"http://{host}") or {}
        return base64.b64decode(entry.get("auth", "")).decode()
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return ""


def refusal(status: int, body: bytes, url: str) -> RegistryError:
    """Return the error for an answer that a registry should not give, with its own words."""
    try:
        why = "; ".join(f"{one['code']}: {one.get('message', '')}" for one in json.loads(body)["errors"])
    except (ValueError, KeyError, TypeError):
        why = body[:200].decode(errors="replace").strip()
    fix = _FIX if status == 401 else ""
    return RegistryError(f"the registry answered {status} {why}".rstrip(), where=url, fix=fix, status=status)


def _basic(secret: str) -> str:
    return "Basic " + base64.b64encode(secret.encode()).decode()


def _refuse_clear_text(url: str) -> None:
    """Raise if a password would leave this machine unencrypted."""
    parts = urlsplit(url)
    host = str(parts.hostname)
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if parts.scheme != "https" and not local:
        raise RegistryError(
            "a password would go over the network in the clear",
            where=f"{parts.scheme}://{parts.netloc}",
            fix="use an https:// address",
            status=401,
        )
