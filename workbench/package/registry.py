"""A client of the OCI distribution API: blobs and manifests of one repository, resumable both ways.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md. A lost connection is tried again a few
times from where it broke; after that what was transferred stays where it is, and the next call goes on there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

from ..errors import CorruptArtifact, RegistryError
from .layout import Descriptor
from .login import Login, refusal
from .reference import Reference

T = TypeVar("T")
Progress = Callable[[int], None]
"""Told how many more bytes have gone over the wire."""

_CHUNK_BYTES = 4 << 20
_PAUSES_S = (0.1, 0.3, 1.0)
_LOST = (OSError, http.client.HTTPException)
_OURS = (errno.ENOSPC, errno.EDQUOT)  # a file's trouble, not the network's
_MOST_DOCUMENT = 16 << 20


class Registry:
    """One repository of one registry, over one kept-alive connection.

    Parameters
    ----------
    reference
        Where; its tag and digest are not used.
    timeout_s
        For connecting and for each read.
    """

    def __init__(self, reference: Reference, *, timeout_s: float = 30.0) -> None:
        self._base = f"{reference.url}/v2/{reference.repository}"
        parts = urlsplit(reference.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(str(parts.hostname), parts.port, timeout=timeout_s)
        self._login = Login(reference.url, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def has(self, blob: Descriptor) -> bool:
        """Return whether the repository has a blob."""
        return self._again(lambda: self._has(blob.digest))

    def push_blob(self, blob: Descriptor, path: Path, progress: Progress = lambda _: None) -> None:
        """Upload a file unless it is there; a broken upload goes on where the registry says it got to.

        A registry may have forgotten it (docker-registry 2.8 does, when a chunk broke): then the blob begins anew.

        Raises
        ------
        RegistryError
            If the registry refuses, or is gone for longer than a few tries.
        """
        if self.has(blob):
            return
        begun: list[str] = []
        taken = [0]

        def upload() -> None:
            if not begun:
                response, _ = self._ask("POST", f"{self._base}/blobs/uploads/", expect=(202,))
                begun.append(self._absolute(response["location"]))
                offset = 0
            else:
                offset = self._uploaded(begun)
            with path.open("rb") as file:
                file.seek(offset)
                self._send(blob, file, offset, begun, taken, progress)

        self._again(upload, lambda: taken[0])

    def mount(self, blob: Descriptor, repository: str) -> None:
        """Take a blob over from another repository of the registry, without its bytes going anywhere."""
        query = urlencode({"mount": blob.digest, "from": repository})
        if not self.has(blob):
            self._again(lambda: self._ask("POST", f"{self._base}/blobs/uploads/?{query}", expect=(201,)))

    def document(self, blob: Descriptor) -> bytes:
        """Return a small blob whole."""
        url = f"{self._base}/blobs/{blob.digest}"
        _, data = self._again(lambda: self._ask("GET", url, expect=(200,)))
        assert data is not None  # 200 has a body
        if "sha256:" + hashlib.sha256(data).hexdigest() != blob.digest:
            raise CorruptArtifact(
                "the registry's bytes do not match their digest", where=url, digest=blob.digest
            )
        return data

    def push_manifest(self, data: bytes, media_type: str, tag: str) -> None:
        """Put a manifest or an index under a tag (or under its own digest)."""
        headers = {"content-type": media_type}
        url = f"{self._base}/manifests/{tag}"
        self._again(lambda: self._ask("PUT", url, data, headers, expect=(201,)))

    def manifest(self, reference: str, *media_types: str) -> bytes | None:
        """Return a manifest by tag or digest, checked against the digest; ``None`` when there is none.

        Raises
        ------
        CorruptArtifact
            If the registry gives other bytes than the digest names.
        """
        headers = {"accept": ", ".join(media_types)}
        url = f"{self._base}/manifests/{reference}"
        _, data = self._again(lambda: self._ask("GET", url, headers=headers, expect=(200, 404)))
        if data is None:
            return None
        if reference.startswith("sha256:") and "sha256:" + hashlib.sha256(data).hexdigest() != reference:
            raise CorruptArtifact(
                "the registry's manifest does not match its digest", where=url, digest=reference
            )
        return data

    def pull_blob(self, blob: Descriptor, path: Path, progress: Progress = lambda _: None) -> None:
        """Download a blob to `path`, going on behind what ``path.part`` holds already.

        Raises
        ------
        CorruptArtifact
            If the bytes do not match the digest; they are thrown away.
        RegistryError
            If the registry refuses, or is gone for longer than a few tries; ``path.part`` stays.
        """
        part = path.with_name(path.name + ".part")
        reached = lambda: part.stat().st_size if part.exists() else 0  # noqa: E731
        self._again(lambda: self._receive(blob, part, progress), reached)
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if "sha256:" + found != blob.digest:
            part.unlink()
            raise CorruptArtifact(
                f"the registry's bytes of {blob.title or 'a blob'} do not match their digest",
                where=f"{self._base}/blobs/{blob.digest}",
                fix="push it again from where it was made",
                digest=blob.digest,
            )
        part.rename(path)

    def _has(self, digest: str) -> bool:
        headers, _ = self._ask("HEAD", f"{self._base}/blobs/{digest}", expect=(200, 404))
        return headers[":status"] == "200"

    def _uploaded(self, begun: list[str]) -> int:
        """Return how many bytes of a broken upload the registry has; forget one that it has forgotten."""
        headers, _ = self._ask("GET", begun[0], expect=(204, 404))
        if headers[":status"] == "404":
            begun.clear()
            raise ConnectionError("the registry has forgotten the upload")
        begun[0] = self._absolute(headers.get("location", begun[0]))
        last = headers.get("range", "0-0").rpartition("-")[2]
        # An upload without a byte and one with a single byte both say 0-0; sending the byte again is refused.
        return int(last) + 1 if int(last) else 0

    def _send(
        self,
        blob: Descriptor,
        file: BinaryIO,
        offset: int,
        begun: list[str],
        taken: list[int],
        progress: Progress,
    ) -> None:
        while offset < blob.size_bytes:
            chunk = file.read(_CHUNK_BYTES)
            if not chunk:
                raise CorruptArtifact("the blob is shorter than its descriptor says", where=blob.digest)
            headers = {
                "content-type": "application/octet-stream",
                "content-range": f"{offset}-{offset + len(chunk) - 1}",
            }
            response, _ = self._ask("PATCH", begun[0], chunk, headers, expect=(202,))
            begun[0] = self._absolute(response["location"])
            offset += len(chunk)
            taken[0] = max(taken[0], offset)
            progress(len(chunk))
        mark = "&" if "?" in begun[0] else "?"
        self._ask("PUT", begun[0] + mark + urlencode({"digest": blob.digest}), b"", expect=(201,))

    def _receive(self, blob: Descriptor, part: Path, progress: Progress) -> None:
        have = part.stat().st_size if part.exists() else 0
        if have > blob.size_bytes:
            part.unlink()
            have = 0
        if have == blob.size_bytes and part.exists():
            return
        headers = {"range": f"bytes={have}-"} if have else {}
        url = f"{self._base}/blobs/{blob.digest}"
        with self._open("GET", url, None, headers) as response:
            if response.status == 200:  # a registry may ignore the range and give all
                have = 0
            elif response.status != 206:
                raise refusal(response.status, response.read(_MOST_DOCUMENT), url)
            with part.open("r+b" if have else "wb") as file:
                file.seek(have)
                while have < blob.size_bytes:
                    chunk = response.read(min(_CHUNK_BYTES, blob.size_bytes - have))
                    if not chunk:
                        raise ConnectionError("the registry closed the connection half way")
                    file.write(chunk)
                    have += len(chunk)
                    progress(len(chunk))
        self._connection.close()  # whatever else it would send is not wanted

    def _ask(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        expect: tuple[int, ...],
    ) -> tuple[dict[str, str], bytes | None]:
        """Return an answer's headers (and ``:status``), and its body when the status is 200."""
        with self._open(method, url, body, headers or {}) as response:
            data = response.read(_MOST_DOCUMENT + 1)
            if len(data) > _MOST_DOCUMENT:
                raise RegistryError("the registry's document is too large", where=url)
            if response.status not in expect:
                raise refusal(response.status, data, url)
            found = {name.lower(): value for name, value in response.getheaders()}
            return {**found, ":status": str(response.status)}, data if response.status == 200 else None

    @contextlib.contextmanager
    def _open(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        try:
            parts = urlsplit(url)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            yield self._answered(method, path, body, dict(headers))
        except _LOST:
            self._connection.close()
            raise

    def _answered(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        """Return the answer, after a login if one is asked for."""
        while True:
            self._connection.request(method, path, body, headers | self._login.headers())
            response = self._connection.getresponse()
            if response.status != 401:
                return response
            said = response.read(_MOST_DOCUMENT)
            if not self._login.answer(response.headers.get("www-authenticate", "")):
                raise refusal(401, said, self._base)

    def _again(self, attempt: Callable[[], T], reached: Callable[[], int] = lambda: 0) -> T:
        """Try again after a lost connection or a registry's 5xx: a few times without getting any further."""
        tries, best = 0, reached()
        while True:
            try:
                return attempt()
            except (*_LOST, RegistryError) as error:
                if isinstance(error, OSError) and (error.filename or error.errno in _OURS):
                    raise
                refused = isinstance(error, RegistryError) and error.fields.get("status", 0) < 500
                if reached() > best:
                    tries, best = 0, reached()
                if refused or tries == len(_PAUSES_S):
                    raise self._lost(error) from error
                time.sleep(_PAUSES_S[tries])
                tries += 1

    def _lost(self, error: Exception) -> Exception:
        if isinstance(error, RegistryError):
            return error
        return RegistryError(
            f"the registry does not answer: {type(error).__name__}: {error}",
            where=self._base,
            fix="run it again when it is back: what was transferred is kept",
        )

    def _absolute(self, location: str) -> str:
        """Return an upload's address; it must be on the registry we talk to."""
        url = urljoin(self._base, location)
        if urlsplit(url).netloc != urlsplit(self._base).netloc:
            raise RegistryError(f"the registry sends us elsewhere: {url}", where=self._base)
        return url
