"""The registry of operator libraries."""

import subprocess
import sys

import pytest

from workbench.operators import LIBRARIES, load_operators, onnx_translations

torch = pytest.importorskip("torch")


def test_loading_a_library_registers_its_operators():
    load_operators({"workbench", "aten"})
    assert torch.ops.workbench.dequantize.default is not None


def test_namespaces_of_torch_need_nothing():
    assert onnx_translations({"aten", "prims"}) == {}


def test_translations_are_operators_and_functions():
    table = onnx_translations(LIBRARIES)
    assert table
    assert all(isinstance(op, torch._ops.OpOverload) and callable(f) for op, f in table.items())


def test_the_registry_itself_is_light():
    script = "import sys, workbench.operators, workbench.program; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
