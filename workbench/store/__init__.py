"""The store: artifacts, names, runs, events, lineage, measurements and deployments in one folder."""

from .artifacts import ArtifactRow
from .deployments import Deployment
from .draft import ArtifactDraft
from .events import Event
from .gc import GcReport
from .lineage import Direction, LineageGraph, LineageNode
from .measurements import Measurement
from .names import ArtifactName, NameRow
from .origins import Origin
from .run_rows import RunRow, StepRow
from .store import Store
from .sweeps import SweepRow, Trial

__all__ = [
    "ArtifactDraft",
    "ArtifactName",
    "ArtifactRow",
    "Deployment",
    "Direction",
    "Event",
    "GcReport",
    "LineageGraph",
    "LineageNode",
    "Measurement",
    "NameRow",
    "Origin",
    "RunRow",
    "StepRow",
    "Store",
    "SweepRow",
    "Trial",
]
