import pytest

from workbench.trace.symbols.entry import probe_shift

_ENDBR = "f30f1efa"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("55", (0, False)),  # push %rbp
        ("4157", (0, False)),  # push %r15
        ("90", (0, False)),
        ("0f1f440000" + "55", (5, False)),  # a five-byte nop: no place for a probe
        (_ENDBR + "0f1f440000" + "4889f8", (9, True)),
        ("660f1f4000" + "90", (5, False)),
        ("660f1f440000", (0, False)),  # of six bytes
        ("e900000000", (0, False)),  # jmp
        ("0f8400000000", (0, False)),  # je
        ("4889f8", (0, True)),  # mov
        ("4883ec18", (0, True)),  # sub
        ("4155aa"[:2], (0, True)),  # a lone prefix is nothing the kernel knows
        (_ENDBR + "55", (4, False)),
        (_ENDBR + "4883ec18", (4, True)),
        (_ENDBR, (4, True)),
        ("", (0, True)),
    ],
)
def test_the_first_instruction_decides(code, expected):
    assert probe_shift(bytes.fromhex(code), "x86_64") == expected


def test_other_processors_are_not_judged():
    assert probe_shift(b"\x48\x89\xf8", "aarch64") == (0, False)
