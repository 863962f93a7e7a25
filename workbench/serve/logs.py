"""One JSON object a line on standard error: what a collector wants, and a person can still read."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any


class JsonLines(logging.Formatter):
    """Format records as JSON, with the replica's own facts on every line."""

    def __init__(self, **facts: Any) -> None:
        super().__init__()
        self._facts = facts

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **self._facts,
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(**facts: Any) -> logging.Logger:
    """Send the server's logs to standard error as JSON lines and return its logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(**facts))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logger = logging.getLogger(__package__)
    logger.setLevel(logging.INFO)
    return logger
