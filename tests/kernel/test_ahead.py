"""Libraries a traced process loads later: TVM's functions are counted from the first call."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.bpf,
    pytest.mark.skipif(find_spec("tvm") is None or find_spec("tvm_ffi") is None, reason="needs TVM"),
]

_WORK = """
import ctypes, json
from importlib.util import find_spec
from pathlib import Path
from workbench import trace

runtime = Path(find_spec("tvm").submodule_search_locations[0], "lib", "libtvm_runtime.so")
task = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: 0)
with trace.session(("operators",), tier="bpf") as recorder:
    import tvm_ffi
    echo = tvm_ffi.convert(lambda value: value)
    for number in range(1009):
        assert echo(number) == number
    launch = ctypes.CDLL(runtime).TVMBackendParallelLaunch
    for _ in range(23):
        launch(task, None, 1)
counts = {row.name: row.latency.count for row in recorder.trace.operators if row.family == "tvm"}
print(json.dumps([counts, recorder.trace.meta.notes]))
"""


def test_functions_of_tvm_are_counted_though_it_is_loaded_during_the_trace():
    ended = subprocess.run(
        [sys.executable, "-c", _WORK], capture_output=True, text=True, check=True, timeout=120
    )
    counts, notes = json.loads(ended.stdout.splitlines()[-1])
    assert counts["TVMBackendParallelLaunch"] == 23
    assert counts["TVMFFIFunctionCall"] >= 1009  # loading it calls some as well
    assert not [note for note in notes if "missing" in note]
