"""A Jupyter server does not start later for the extension: what answers is loaded with the first request."""

from __future__ import annotations

import subprocess
import sys

LOAD = """
import sys
from types import SimpleNamespace
import workbench.server

rows = []
app = SimpleNamespace(settings={"base_url": "/"}, add_handlers=lambda host, found: rows.extend(found))
workbench.server._load_jupyter_server_extension(SimpleNamespace(root_dir=".", web_app=app))
ours = {name for name in sys.modules if name.startswith("workbench.")}
print(len(rows), *sorted(one for one in ours if not one.startswith("workbench.server")))
"""


def test_the_extension_loads_its_addresses_and_nothing_of_the_store() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", LOAD], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert shown.split() == ["13", "workbench.errors"]
