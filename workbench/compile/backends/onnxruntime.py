"""Lower a program to ONNX and run it in onnxruntime: fast on any CPU, loadable without torch.

The exporter's own optimizer stays off: it folds what it can, and would turn int8 weights back into floats.
onnxruntime folds and fuses at load, and keeps quantized weights as they are. What differs between two equal
exports (stack traces, object names) is stripped, so equal programs give equal bytes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CompileError
from ...operators import LIBRARIES, onnx_translations
from ..base import Progress
from ..config import CompileConfig
from ..source import Source

if TYPE_CHECKING:
    from ...session import Runner

MODEL_FILE = "model.onnx"


class OnnxruntimeBackend:
    """torch.export program to ONNX graph to onnxruntime session."""

    name = "onnxruntime"
    reference = False

    def available(self) -> str | None:
        """Return None if onnxruntime is installed, else the install command."""
        return None if importlib.util.find_spec("onnxruntime") else "pip install 'mlops-workbench[onnx]'"

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Write ``model.onnx``; an ONNX program is already one."""
        import onnxruntime

        versions = {"onnxruntime": onnxruntime.__version__}
        if source.is_onnx:
            shutil.copyfile(source.file, out / MODEL_FILE)
            return versions
        model = _lower(source)
        progress(0.6, "writing the model")
        _strip(model)
        model.save(str(out / MODEL_FILE), external_data=False)
        import torch

        return {**versions, "torch": torch.__version__}

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return an onnxruntime session of the compiled folder."""
        from ...onnx_session import OnnxRunner

        return OnnxRunner(compiled / MODEL_FILE, threads)


def _lower(source: Source) -> Any:
    """Return the ``torch.onnx.ONNXProgram`` of a program, its inputs and outputs named as in the signature."""
    import torch

    if importlib.util.find_spec("onnxscript") is None:
        raise CompileError(
            "the package 'onnxscript' is not installed",
            where="onnxruntime",
            fix="pip install 'mlops-workbench[onnx]'",
        )
    try:
        with _quiet():
            return torch.onnx.export(
                source.program,
                dynamo=True,
                optimize=False,
                verbose=False,
                external_data=False,
                input_names=[s.name for s in source.signature.inputs],
                output_names=[s.name for s in source.signature.outputs],
                custom_translation_table=dict(onnx_translations(LIBRARIES)),
            )
    except torch.onnx.OnnxExporterError as error:
        raise CompileError(
            f"the program has no ONNX form: {_reason(error)}",
            where=str(source.folder),
            fix="%mlops compile NAME --backend eager",
        ) from error


def _reason(error: BaseException) -> str:
    """Return the deepest cause's first line that is not a banner: it names the operator."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter: it warns about packages we do not use and about its own deprecated calls."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _strip(model: Any) -> None:
    """Remove what tells of the machine or the moment: stack traces, module paths, names of objects."""
    graph_model = model.model
    graph_model.doc_string = None
    graph_model.metadata_props.clear()
    graphs = [graph_model.graph, *graph_model.functions.values()]
    for graph in graphs:
        graph.doc_string = None
        graph.metadata_props.clear()
        for value in [*graph.inputs, *getattr(graph, "initializers", {}).values()]:
            value.doc_string = None
            value.metadata_props.clear()
        for node in graph.all_nodes() if hasattr(graph, "all_nodes") else graph:
            node.doc_string = None
            node.metadata_props.clear()
            for value in node.outputs:
                value.doc_string = None
                value.metadata_props.clear()


BACKEND = OnnxruntimeBackend()
