"""The hot loop of a layer is found, by what its instructions do, for every machine."""

import pytest

from tests.compile.emit.test_targets import needs
from workbench.compile import CompileConfig, compile_program
from workbench.compile.emit.assembly import kernel, layers
from workbench.compile.emit.disassembly import FLOAT, INTEGER, Instruction, Routine, loops
from workbench.errors import InputError, MissingInput
from workbench.kernels import target_named

DOT = {
    "x86-64-avx512-vnni": "vpdpbusd",
    "x86-64-avx2": "vpmaddubsw",
    "aarch64-neon": "sdot",
    "aarch64-i8mm": "usdot",
    "riscv64-rvv": "vwmacc",
}


@pytest.fixture
def characters(ternary_models):
    return ternary_models["characters"]


@pytest.mark.parametrize("name", ["host", "aarch64-neon", "riscv64-rvv"])
def test_the_hot_loop_of_a_ternary_layer_multiplies_integers(name, characters, tmp_path):
    needs(name)
    variant, out, _ = characters
    if name != "host":
        out = tmp_path
        compile_program(variant, out, CompileConfig("ternary", target=name))
    found = kernel(out, "blocks.0.linear1")
    assert found.layer.what.startswith("workbench.linear_ternary.default")
    hot = found.loops[0]
    assert hot.multiplies >= 4
    if expected := DOT.get(target_named(name).name):
        assert any(each.text.startswith(expected) for each in hot.body)
    places = {each.address for each in hot.body}
    assert len(places) == len(hot.body) > hot.multiplies


def test_every_layer_is_listed_in_order_and_errors_name_near_ones(characters):
    out = characters[1]
    paths = list(dict.fromkeys(layer.path for layer in layers(out) if layer.path))
    assert paths.index("blocks.0.linear1") < paths.index("blocks.1.linear2") < paths.index("head")
    with pytest.raises(MissingInput, match=r"no operator comes from a layer 'blocks.0.linear3'") as caught:
        kernel(out, "blocks.0.linear3")
    assert "blocks.0.linear2" in caught.value.fix
    with pytest.raises(MissingInput, match="runs no function 'nothing'"):
        kernel(out, "head", "nothing")
    other = kernel(out, "blocks.0.linear1").loops[-1].routine.name
    assert {loop.routine.name for loop in kernel(out, "blocks.0.linear1", other).loops} == {other}


def test_what_another_backend_compiled_is_refused(tmp_path):
    with pytest.raises(InputError, match="only what the backend ternary compiled"):
        layers(tmp_path)


X86 = """
10 mov %rsp,%rbp
14 vmovups (%rdi),%zmm0
1a vfmadd231ps (%rsi),%zmm0,%zmm1
20 cmp %rax,%rcx
24 jne 1a <f+0xa>
28 vpdpbusd %zmm1,%zmm2,%zmm3
2e jne 14 <f+0x4>
32 jmp 10 <f>
"""
ARM = """
10 ldr q0, [x0]
14 sdot v1.4s, v0.16b, v2.16b
18 sdot v3.4s, v0.16b, v2.16b
1c b.ne 10 <f> // b.any
20 b 10 <f>
24 cbnz x0, 24 <f+0x14>
"""
RISCV = """
10 vle8.v v14, (s1)
14 vwmacc.vv v12, v15, v16
18 bltu a0, s5, 0x10 <f>
"""


@pytest.mark.parametrize(
    ("text", "spans"),
    [(X86, [(0x1A, 0x24, 1)]), (ARM, [(0x10, 0x1C, 2), (0x24, 0x24, 0)]), (RISCV, [(0x10, 0x18, 1)])],
)
def test_loops_are_conditional_jumps_back_that_enclose_no_other(text, spans):
    code = tuple(
        Instruction(int(a, 16), rest)
        for a, rest in (line.split(" ", 1) for line in text.strip().splitlines())
    )
    found = loops(Routine("f", code, frozenset()), (INTEGER, FLOAT))
    assert [(each.body[0].address, each.body[-1].address, each.multiplies) for each in found] == spans
