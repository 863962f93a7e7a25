"""Where the workbench keeps its things, and the few knobs the environment may set."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "MLOPS_HOME"


def home() -> Path:
    """Return the store's folder: ``$MLOPS_HOME``, else ``.mlops`` in the working directory.

    A notebook's kernel runs in the notebook's folder, so the store lies beside the notebook.
    """
    return Path(os.environ.get(HOME_VARIABLE) or ".mlops").absolute()
