"""Kubeflow Pipelines IR (PipelineSpec): what every executor runs, as a checked graph."""

from .graph import Component, Dag, Graph, Loop, Retry, Task
from .load import graph_of

__all__ = ["Component", "Dag", "Graph", "Loop", "Retry", "Task", "graph_of"]
