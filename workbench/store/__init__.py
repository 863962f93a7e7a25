"""The store: artifacts, names, runs, events, lineage, measurements and deployments in one folder."""

from .artifacts import ArtifactRow
from .deployments import Deployment
from .draft import ArtifactDraft
from .events import Event
from .gc import GcReport
from .lineage import LineageGraph, LineageNode
from .measurements import Measurement
from .names import ArtifactName, NameRow
from .runs import RunRow, StepRow
from .store import Store

__all__ = [
    "ArtifactDraft",
    "ArtifactName",
    "ArtifactRow",
    "Deployment",
    "Event",
    "GcReport",
    "LineageGraph",
    "LineageNode",
    "Measurement",
    "NameRow",
    "RunRow",
    "StepRow",
    "Store",
]
