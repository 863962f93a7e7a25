"""HTTP/1.1 messages: just what a proxy must understand, and strict about it.

Two parsers that disagree about where a message ends are how requests are smuggled; so whatever RFC 9112
leaves open is refused here instead of guessed: both lengths at once, a folded header, a space before a colon,
a bare carriage return. Requests are read whole before a replica sees them, which is what makes a retry
possible and keeps slow clients away from the replicas.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

MAX_HEAD_BYTES = 32 * 1024
MAX_CHUNK_LINE_BYTES = 256

Headers = list[tuple[bytes, bytes]]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%s) ([!-~]+) HTTP/(\d)\.(\d)" % _TOKEN)
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: [^\r\n]*)?")
_HEADER = re.compile(rb"(%s):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)" % _TOKEN)
_HEX = re.compile(rb"[0-9A-Fa-f]{1,15}")

# These speak about one hop only and are not passed on (RFC 9110, section 7.6.1).
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
        b"content-length",  # written anew from the body that was read
    )
)


class BadMessage(Exception):
    """Raised when a client's message is refused, with the status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Head:
    """The start line and headers of a message.

    Parameters
    ----------
    method, target
        Of a request; empty for a response.
    status
        Of a response; 0 for a request.
    headers
        Lower-case names, in order.
    length
        Bytes of the body; ``None`` when it is chunked or, for a response, ends with the connection.
    chunked
        Whether the body is chunked.
    keep_alive
        Whether the sender keeps the connection open afterwards.
    """

    method: bytes
    target: bytes
    status: int
    headers: Headers
    length: int | None
    chunked: bool
    keep_alive: bool

    def get(self, name: bytes) -> bytes | None:
        """Return the first header of this name."""
        return next((value for key, value in self.headers if key == name), None)


def parse_request(data: bytes) -> Head:
    r"""Return the head of a request, given with its final empty line.

    Raises
    ------
    BadMessage
        400 for anything malformed, 505 for another version, 501 for another transfer coding.

    Examples
    --------
    >>> parse_request(b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n").target
    b'/v2'
    """
    first, headers = _split(data)
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise BadMessage(400, "malformed request line")
    method, target, major, minor = line.groups()
    if major != b"1" or minor not in (b"0", b"1"):
        raise BadMessage(505, "this server speaks HTTP/1.1")
    if minor == b"1" and sum(name == b"host" for name, _ in headers) != 1:
        raise BadMessage(400, "a request carries exactly one host header")
    length, chunked = _framing(headers)
    if chunked and minor == b"0":
        raise BadMessage(400, "HTTP/1.0 knows no transfer coding")
    return Head(
        method, target, 0, headers, None if chunked else length or 0, chunked, _keep_alive(headers, minor)
    )


def parse_response(data: bytes, method: bytes) -> Head:
    """Return the head of a response to a request with this method.

    Raises
    ------
    BadMessage
        502 for anything malformed.
    """
    try:
        first, headers = _split(data)
        line = _STATUS_LINE.fullmatch(first)
        if line is None:
            raise BadMessage(502, "malformed status line")
        length, chunked = _framing(headers)
    except BadMessage as error:
        raise BadMessage(502, f"the replica's answer is malformed: {error.reason}") from error
    status = int(line[2])
    if method == b"HEAD" or status < 200 or status in (204, 304):
        length, chunked = 0, False
    ends = chunked or length is not None
    return Head(b"", b"", status, headers, length, chunked, ends and _keep_alive(headers, line[1]))


def _split(data: bytes) -> tuple[bytes, Headers]:
    first, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    headers: Headers = []
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise BadMessage(400, "malformed header")
        headers.append((found[1].lower(), found[2].rstrip(b" \t")))
    return first, headers


def _framing(headers: Headers) -> tuple[int | None, bool]:
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if codings:
        if lengths:
            raise BadMessage(400, "both content-length and transfer-encoding")
        if codings != [b"chunked"]:
            raise BadMessage(501, "the only transfer coding here is chunked")
        return None, True
    if not lengths:
        return None, False
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 15:
        raise BadMessage(400, "malformed content-length")
    return int(lengths[0]), False


def _keep_alive(headers: Headers, minor: bytes) -> bool:
    options = b",".join(value.lower() for name, value in headers if name == b"connection")
    words = {word.strip() for word in options.split(b",")}
    return b"close" not in words if minor == b"1" else b"keep-alive" in words


async def read_head(reader: asyncio.StreamReader) -> bytes | None:
    """Return the bytes up to and with the empty line; ``None`` when the peer closed before sending any.

    Raises
    ------
    BadMessage
        431 beyond :data:`MAX_HEAD_BYTES`, 400 when it ends in the middle.
    """
    try:
        data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise BadMessage(400, "the message ends within its head") from error
        return None
    except asyncio.LimitOverrunError as error:
        raise BadMessage(431, "the head is too large") from error
    if len(data) > MAX_HEAD_BYTES:
        raise BadMessage(431, "the head is too large")
    return data.lstrip(b"\r\n")  # a client may send an empty line after its last body


async def read_body(reader: asyncio.StreamReader, head: Head, limit: int) -> bytes:
    """Return the whole body, without chunk marks.

    Raises
    ------
    BadMessage
        413 beyond `limit` bytes, 400 when it is malformed or ends early.
    """
    try:
        if head.chunked:
            return await _read_chunks(reader, limit)
        if (head.length or 0) > limit:
            raise BadMessage(413, f"the body is larger than {limit} bytes")
        return await reader.readexactly(head.length or 0)
    except asyncio.IncompleteReadError as error:
        raise BadMessage(400, "the message ends within its body") from error
    except asyncio.LimitOverrunError as error:
        raise BadMessage(400, "malformed chunk") from error


async def _read_chunks(reader: asyncio.StreamReader, limit: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    while size := await _chunk_size(reader):
        total += size
        if total > limit:
            raise BadMessage(413, f"the body is larger than {limit} bytes")
        parts.append(await reader.readexactly(size))
        if await reader.readexactly(2) != b"\r\n":
            raise BadMessage(400, "malformed chunk")
    trailers = 0
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        trailers += len(line)
        if trailers > MAX_HEAD_BYTES:
            raise BadMessage(431, "the trailers are too large")
    return b"".join(parts)


async def _chunk_size(reader: asyncio.StreamReader) -> int:
    line = await reader.readuntil(b"\r\n")
    digits = line[:-2].partition(b";")[0].rstrip(b" \t")
    if len(line) > MAX_CHUNK_LINE_BYTES or not _HEX.fullmatch(digits):
        raise BadMessage(400, "malformed chunk")
    return int(digits, 16)
