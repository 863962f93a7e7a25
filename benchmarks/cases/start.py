"""What it costs to begin: ``import workbench``, ``%load_ext workbench``, the first ``%mlops``, against torch.

Every figure is from a fresh process. The shell exists before the clock starts, so no figure holds IPython's
own start.
"""

from __future__ import annotations

import tempfile

from ..harness import Contender, fresh, interleave
from ..samples import Samples

_CLOCK = """
import json, time
def clock(work):
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3
"""
_SHELL = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.io import capture_output
shell = InteractiveShell.instance()
load = lambda: shell.run_line_magic("load_ext", "workbench")
def first():
    with capture_output():
        shell.run_line_magic("mlops", "runs")
"""
_CODE = {
    "import_torch.ms": "print(clock(lambda: __import__('torch')))",
    "import_workbench.ms": "print(clock(lambda: __import__('workbench')))",
    "load_ext.ms": _SHELL + "print(clock(load))",
    "first_mlops.ms": _SHELL + "load(); print(clock(first))",
}


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 3 rounds when quick, else 15."""
    with tempfile.TemporaryDirectory() as folder:
        interleave(
            samples, {key: _contender(code, folder) for key, code in _CODE.items()}, 3 if quick else 15
        )
    samples.ratio("load_ext.over_import_torch", "load_ext.ms", "import_torch.ms")
    samples.ratio("first_mlops.over_import_torch", "first_mlops.ms", "import_torch.ms")


def _contender(code: str, folder: str) -> Contender:
    def measure() -> float:
        return float(fresh(_CLOCK + code, IPYTHONDIR=folder, MLOPS_HOME=f"{folder}/store"))

    return measure
