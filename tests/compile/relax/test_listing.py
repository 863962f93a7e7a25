"""The functions of a TVM module: machine code, loops, and what they were generated from."""

import pytest

from tests.networks import build
from workbench.compile.relax.listing import function_named, functions, is_relax
from workbench.errors import MissingInput


def test_functions_have_code_loops_and_their_text(tvm_compile):
    out, _ = tvm_compile(*build("perceptron"), kernels="tvm", dynamic="none")
    assert is_relax(out)
    hot = function_named(out, "")
    assert hot.loops
    assert any("matmul" in one.name for one in functions(out))
    assert any("T.prim_func" in line for line in hot.ir)
    assert function_named(out, hot.name) == hot
    with pytest.raises(MissingInput, match="no function 'matmull'") as caught:
        function_named(out, "matmull")
    assert "matmul" in caught.value.fix


def test_linked_kernels_are_listed_where_they_are_called(perceptron):
    names = [one.name for one in functions(perceptron)]
    assert "mlops_linear_f32" in names
    assert "mlops_conv_ternary" not in names
    assert function_named(perceptron, "mlops_linear_f32").loops[0].multiplies > 0


def test_code_for_another_machine_is_read_too(arm):
    found = function_named(arm[0], "mlops_linear_f32")
    assert found.target == "aarch64-neon"
    assert any(each.text.startswith(("fmla", "fmadd")) for each in found.loops[0].body)
