"""Users' own steps and pipelines, written as Python functions and compiled to Kubeflow's IR."""

from .pipeline import Pipeline, each, on_exit, pipeline, stored, when
from .step import StepFunction, step

__all__ = ["Pipeline", "StepFunction", "each", "on_exit", "pipeline", "step", "stored", "when"]
