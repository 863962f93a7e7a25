"""Just enough of the protocol buffers wire format to write a message, so that no schema compiler is needed.

A field is its key (number and wire type) and its value; integers are varints, text and messages are prefixed
with their length (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from collections.abc import Iterable

_VARINT, _LENGTH = 0, 2


def varint(value: int) -> bytes:
    """Return an integer, seven bits a byte, lowest first; negative ones as 64-bit two's complement.

    Examples
    --------
    >>> varint(300).hex(), varint(-1).hex()
    ('ac02', 'ffffffffffffffffff01')
    """
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(field: int, value: int) -> bytes:
    """Return an integer field; nothing for 0, which is what an absent one means."""
    return varint(field << 3 | _VARINT) + varint(value) if value else b""


def data(field: int, value: bytes) -> bytes:
    """Return a field of bytes, of UTF-8 text or of an encoded message."""
    return varint(field << 3 | _LENGTH) + varint(len(value)) + value


def packed(field: int, values: Iterable[int]) -> bytes:
    """Return a repeated integer field."""
    return data(field, b"".join(map(varint, values)))
