"""Call frame information: what binutils reads in a file is what we read, and damage is no crash."""

import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.trace.symbols.call_frames import (
    FROM_BASE,
    FROM_STACK,
    OUTERMOST,
    RETURN_ADDRESS,
    FunctionReader,
)
from workbench.trace.symbols.unwind import FrameTable

_SOURCE = Path(__file__).parents[1] / "kernel" / "native" / "frames.c"
_LIBC = next(
    (line.split()[5] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so.6" in line),
    None,
)
_KINDS = {"rsp": FROM_STACK, "rbp": FROM_BASE}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A library with every kind of row: with and without base pointers, a function that ends in the middle."""
    out = tmp_path_factory.mktemp("frames") / "libframes.so"
    subprocess.run(
        ["cc", "-O1", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-o", out, _SOURCE], check=True
    )
    return out


def _rows_of_binutils(path):
    """Function start, then (address, rule for the frame's end, rule for rbp, rule for the return address)."""
    said = subprocess.run(
        ["readelf", "--wide", "--debug-dump=frames-interp", path], capture_output=True, text=True
    ).stdout  # its exit status is 1 where it warns of anything else in the file
    for block in said.split("\n\n"):
        head = re.search(r"FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)", block)
        lines = [line.split() for line in block.splitlines()]
        columns = next((line for line in lines if line[:1] == ["LOC"]), None)
        if head is None or columns is None:
            continue
        rows = [dict(zip(columns, line, strict=False)) for line in lines[lines.index(columns) + 1 :]]
        yield int(head[1], 16), int(head[2], 16), [row for row in rows if len(row) == len(columns)]


def _at(rows, address):
    return next(row for row in reversed(rows) if row.address <= address)


def _same(row, told):
    if told["ra"] == "u":
        return row.kind == OUTERMOST
    register, _, offset = told["CFA"].partition("+")
    if register not in _KINDS or told.get("rbp", "u") == "exp":
        return row.kind == 0
    saved = told.get("rbp", "u")
    return (row.kind, row.offset, row.saved) == (
        *(_KINDS[register], int(offset)),
        int(saved[1:]) if saved.startswith("c") else 0,
    )


@pytest.mark.parametrize("which", ["ours", "the C library"])
def test_rows_are_those_binutils_reads(built, which):
    path = built if which == "ours" else _LIBC
    if path is None:
        pytest.skip("this process uses another C library")
    table, checked = FrameTable(Path(path)), 0
    for start, end, told in _rows_of_binutils(path):
        rows = table.function(start)
        if not rows:
            continue
        assert (rows[0].address, rows[-1].address) == (start, end)
        for row in told:
            assert _same(_at(rows, int(row["LOC"], 16)), row), (hex(start), row)
            checked += 1
    assert checked > (50 if which == "ours" else 10_000)


def test_an_address_outside_every_function_has_no_rows(built):
    table = FrameTable(built)
    assert table.function(0) == []
    assert table.function(1 << 40) == []
    assert table.address(1 << 40) is None


def test_a_file_without_frames_is_refused(tmp_path):
    for data in (b"x" * 100, b"\x7fELF\x02\x01" + bytes(58)):
        path = tmp_path / "file"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"ELF|index"):
            FrameTable(path)


def _reader(letters, augmentation, instructions=b""):
    body = struct.pack("<IB", 0, 1) + letters + b"\0" + bytes([1, 0x78, RETURN_ADDRESS, len(augmentation)])
    body += augmentation + instructions
    own = struct.pack("<IiI", len(body) + 8, 0, 16) + b"\0"
    data = struct.pack("<I", len(body)) + body + struct.pack("<I", len(own)) + own
    return FunctionReader(data, len(body) + 4, 0x1000)


def test_a_shared_entry_that_restores_what_nothing_saved():
    assert [row.kind for row in _reader(b"zR", b"\x1b", b"\xc6").rows()] == [0, 0]


def test_a_personality_of_an_unknown_form():
    with pytest.raises(ValueError, match="another form"):
        _reader(b"zPR", b"\xff\x1b")


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=8))
def test_damage_gives_no_rows_or_an_error(tmp_path_factory, built, where, junk):
    data = bytearray(built.read_bytes())
    data[where % len(data) : where % len(data) + len(junk)] = junk
    path = tmp_path_factory.mktemp("damaged") / "lib.so"
    path.write_bytes(data)
    try:
        table = FrameTable(path)
    except ValueError:
        return
    for address in range(0x1000, 0x1400, 64):
        assert isinstance(table.function(address), list)
