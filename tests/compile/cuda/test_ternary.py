"""The Triton kernels in Triton's interpreter, against the reference of the operator: exact sums, equal results."""

import importlib.util
import os
import subprocess
import sys

import pytest

from workbench.compile import CompileConfig, check_config
from workbench.compile.backends.triton import BACKEND
from workbench.errors import MissingDependency

CODE = """
import torch
from workbench.compile.cuda import ternary as gpu
from workbench.quantize.ops import ternary as ours
torch.manual_seed(0)
for m, n, k in ((1, 3, 4), (5, 70, 19), (33, 17, 530)):
    trits = torch.randint(-1, 2, (n, k))
    codes, scale, bias = ours.pack_codes(trits), torch.rand(n, 1) + 0.1, torch.randn(n)
    x = torch.randn(m, k)
    x[0] = 0
    planes, scales = gpu.quantize(x, codes.shape[1])
    q, expected = ours.token_grid(x, (-1,))
    assert torch.equal(scales, expected.flatten())
    back = planes.permute(0, 2, 1).reshape(m, -1)
    assert torch.equal(back[:, :k].float(), q) and not back[:, k:].any()
    exact = (q.double() @ trits.double().t()).int()
    for blocks in (None, gpu.Blocks(16, 32, 32, 4, 2, 3), gpu.Blocks(64, 64, 64, 4, 3)):
        assert torch.equal(gpu.accumulate(planes, codes, blocks), exact), (m, n, k, blocks)
    for b in (None, bias):
        y = gpu.linear_ternary(x, codes, scale, b, k)
        torch.testing.assert_close(y, ours.linear_ternary(x, codes, scale, b, k), rtol=1e-6, atol=1e-6)
half = gpu.linear_ternary(x.view(3, 11, -1).bfloat16(), codes, scale, None, k)
assert half.dtype == torch.bfloat16 and half.shape == (3, 11, n)
try:
    gpu.linear_ternary(x, codes, scale.repeat(1, 2), None, k)
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="triton is not installed: pip install 'mlops-workbench[triton]'",
)
def test_the_kernels_agree_with_the_reference_in_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.stdout.strip() == "the Triton kernel takes one scale a row of the weight", done.stderr[-3000:]


def test_without_a_gpu_the_backend_says_so():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(MissingDependency, match="it needs a GPU") as caught:
        check_config(CompileConfig("triton", target="cuda"))
    assert "NVIDIA GPU" in caught.value.fix
    assert BACKEND.available() is not None


def test_the_layer_on_a_gpu_is_registered_once():
    pytest.importorskip("triton")
    from torch._library.custom_ops import OPDEFS

    import workbench.quantize.ops
    from workbench.compile.backends.triton import _register

    _register()
    before = OPDEFS["workbench::linear_ternary"]._backend_fns["cuda"]
    _register()
    assert OPDEFS["workbench::linear_ternary"]._backend_fns["cuda"] is before
    assert workbench.quantize.ops
