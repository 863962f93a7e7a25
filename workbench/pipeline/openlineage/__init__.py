"""Runs as OpenLineage events (https://openlineage.io/spec/2-0-2/OpenLineage.json), for whoever collects them."""

from .report import UNREPORTED, begin, end, publish, target

__all__ = ["UNREPORTED", "begin", "end", "publish", "target"]
