"""Loading is light: nothing heavy is imported by the extension, the parser or the first command."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch", "pandas", "ipywidgets", "anywidget", "matplotlib", "onnx", "onnxruntime", "starlette", "uvicorn",
    "sqlite3", "jinja2", "cloudpickle",
)  # fmt: skip

LOAD = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
before = set(sys.modules)
shell.run_line_magic("load_ext", "workbench")
{more}
print(" ".join(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}} & set({heavy}))))
"""


@pytest.mark.parametrize(
    "more", ["", "shell.run_line_magic('mlops', 'doctor')", "import workbench; workbench.capture"]
)
def test_nothing_heavy_is_imported(more: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("start")
    heavy = HEAVY if not more else tuple(name for name in HEAVY if name not in ("sqlite3", "cloudpickle"))
    done = subprocess.run(
        [sys.executable, "-c", LOAD.format(more=more, heavy=heavy)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={"PATH": "", "HOME": str(folder), "IPYTHONDIR": str(folder)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == []


def test_the_parser_needs_no_ipython() -> None:
    code = "import workbench.cli, sys; assert 'IPython' not in sys.modules; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
