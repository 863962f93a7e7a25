"""``python -m workbench.pipeline.driver HOME RUN``: drive a run in the background, detached from whoever asked.

A driver that takes over a run (resume) keeps what is done and, when the killed driver's step still runs, waits for
that step instead of starting it twice.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from ..errors import WorkbenchError
from ..store import Store
from .walk.driver import PipelineDriver


def main(home: Path, run_id: str) -> int:
    """Drive a run in the background; how it ends is in the store."""
    with contextlib.suppress(WorkbenchError, KeyboardInterrupt):
        PipelineDriver(Store(home), run_id).drive()
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
