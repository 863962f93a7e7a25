"""The packed file: what is written is read, and nothing else is."""

import hashlib
import struct

import numpy as np
import pytest

from tests.kernels import reference
from workbench import kernels
from workbench.errors import CorruptArtifact


@pytest.fixture
def packed():
    t = np.random.default_rng(0).integers(-1, 2, (70, 90), dtype=np.int8)
    return kernels.pack(reference.codes_of(t), 90, groups=3, layout="t5")


def test_a_file_round_trips(packed):
    content = packed.to_bytes()
    again = kernels.PackedTernary.from_bytes(content)
    assert (again.n, again.k, again.groups, again.layout) == (70, 90, 3, "t5")
    assert np.array_equal(again.unpack(), packed.unpack())
    assert again.to_bytes() == content


def test_a_convolution_keeps_its_kernel():
    geometry = kernels.ConvGeometry((3, 5), (1, 1), (0, 0), (1, 1), 2)
    codes = reference.codes_of(np.ones((40, 480), np.int8))
    packed = kernels.PackedTernary.from_bytes(kernels.pack_conv(codes, 64, geometry).to_bytes())
    assert (packed.kernel, packed.count, packed.n, packed.layout) == ((3, 5), 2, 20, "t2")


def test_a_memory_map_is_read_in_place(packed, tmp_path):
    path = tmp_path / "weight.tern"
    path.write_bytes(packed.to_bytes())
    mapped = np.memmap(path, np.uint8, "r")
    assert np.shares_memory(kernels.PackedTernary.from_bytes(mapped).data, mapped)


def test_bytes_are_aligned_wherever_they_come_from(packed):
    room = bytearray(b"x" + packed.to_bytes())
    again = kernels.PackedTernary.from_bytes(memoryview(room)[1:])
    assert again.data.ctypes.data % 64 == 0
    assert np.array_equal(again.unpack(), packed.unpack())


def test_any_changed_bit_is_an_error(packed):
    content = packed.to_bytes()
    places = np.random.default_rng(1).choice(np.arange(128, len(content)), 50, replace=False)
    for place in [*range(96), *places]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        with pytest.raises(CorruptArtifact):
            kernels.PackedTernary.from_bytes(bytes(damaged), "weight.tern")


@pytest.mark.parametrize("cut", [0, 7, 127, 128, 1000, -1])
def test_a_file_cut_short_is_an_error(packed, cut):
    with pytest.raises(CorruptArtifact, match="where: weight"):
        kernels.PackedTernary.from_bytes(packed.to_bytes()[:cut], "weight.tern")


def test_a_newer_version_is_named(packed):
    content = bytearray(packed.to_bytes())
    content[8:12] = struct.pack("<I", 2)
    with pytest.raises(CorruptArtifact, match="version 2; this workbench reads 1"):
        kernels.PackedTernary.from_bytes(bytes(content))


@pytest.mark.parametrize(
    "field", [{"k": 2**40}, {"n": -1}, {"groups": 7}, {"n": 2**31, "k": 2**22}, {"layout": 3}]
)
def test_sizes_that_lie_are_an_error_even_with_a_right_checksum(packed, field):
    """A forger can compute a checksum; sizes still have to fit the bytes."""
    content = bytearray(packed.to_bytes())
    offsets = {"layout": (12, "<I"), "k": (16, "<q"), "n": (24, "<q"), "groups": (32, "<q")}
    for name, value in field.items():
        offset, form = offsets[name]
        struct.pack_into(form, content, offset, value)
    content[64:96] = hashlib.sha256(content[:64] + content[128:]).digest()
    with pytest.raises(CorruptArtifact):
        kernels.PackedTernary.from_bytes(bytes(content))
