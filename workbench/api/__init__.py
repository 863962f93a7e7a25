"""One function a verb. The magics, the shell command and the panel call these and show what they return.

::

    import workbench as wb

    wb.capture(encoder, batch, name="minilm")
    wb.quantize("minilm", calibrate=texts, evaluate=recall_at_1, max_drop=0.01)
    wb.compile("minilm:int8")
    wb.push("minilm:int8", canary=0.1)

Every function takes ``store``, by default the one at ``$MLOPS_HOME`` or ``.mlops``. Those that run a recipe
also take ``background`` (return a handle at once; a detached process drives the run), ``on_event`` (called
with every event of the run) and ``dry_run`` (return the recipe as JSON and run nothing).
"""

import sys

from ..pipeline import spare
from .artifacts import gc, show, verify
from .assembly import asm
from .backends import backends
from .choosing import choose
from .compare import compare
from .environments import build_environment, environment, export_environment
from .exporting import export_pipeline
from .history import cancel, logs, resume, runs
from .lineages import lineage, reproduce
from .manifests import export_manifests
from .operators import operators
from .packaging import new_key, pull, trust_key, trusted_keys
from .pipelines import each, mirror, on_exit, pipeline, run, step, stored, when
from .probing import probe
from .profiling import attach, profile
from .pruning import prune
from .services import collector, router
from .staged import freeze, pause, promote, push, rollback, status, unstage
from .sweeps import sweep, sweeps
from .traces import diff, export
from .trackers import track
from .verbs import capture, compile, quantize
from .watching import watch

__all__ = [
    "asm",
    "attach",
    "backends",
    "build_environment",
    "cancel",
    "capture",
    "choose",
    "collector",
    "compare",
    "compile",
    "diff",
    "each",
    "environment",
    "export",
    "export_environment",
    "export_manifests",
    "export_pipeline",
    "freeze",
    "gc",
    "lineage",
    "logs",
    "mirror",
    "new_key",
    "on_exit",
    "operators",
    "pause",
    "pipeline",
    "probe",
    "profile",
    "promote",
    "prune",
    "pull",
    "push",
    "quantize",
    "reproduce",
    "resume",
    "rollback",
    "router",
    "run",
    "runs",
    "show",
    "status",
    "step",
    "stored",
    "sweep",
    "sweeps",
    "track",
    "trust_key",
    "trusted_keys",
    "unstage",
    "verify",
    "watch",
    "when",
]

if hasattr(sys, "ps1"):  # somebody types: one verb will follow another
    spare.stay_soon()
