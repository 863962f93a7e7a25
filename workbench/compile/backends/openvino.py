"""OpenVINO on the CPU: its own form of the graph, ``model.xml`` with weights in ``model.bin``.

The program goes through the same ONNX form as in the backend onnxruntime, so quantized layers arrive as QDQ pairs and
run in integer kernels. Loading needs openvino and numpy. Nothing here reports to anyone: only the model converter
of the package has telemetry, and it is not used.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...atomic import write_bytes
from ...errors import CompileError, CorruptArtifact, WorkbenchError, missing_dependency
from ..base import ForThisMachine, Progress
from ..config import CompileConfig
from ..onnx_model import SCHEMES, origin, write_onnx
from ..options import read_options
from ..source import Source

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir
    import openvino
    from numpy.typing import NDArray

    from ...session import Runner

    Array = NDArray[Any]

MODEL_FILE = "model.xml"
OPTIONS_FILE = "openvino.json"
_ANY_SIZE = 2**40
_LEAST_GROUP = 32
"""OpenVINO's kernels take groups that are a multiple of this."""
_BETWEEN = {"Convert", "Subtract", "Multiply", "Reshape", "Transpose"}
"""What may stand between packed weights and the product that reads them."""
_LISTED = re.compile(r"(?:operations|failed for): (.*)")


@dataclass(frozen=True)
class OpenVinoOptions:
    """How OpenVINO runs the model.

    Parameters
    ----------
    precision
        What float32 is computed in: ``f32``, or ``bf16`` where the processor has instructions for it.
    dynamic_group
        Linear layers with 8- or 4-bit weights and float activations take these on int8 grids for so many values, which
        is found at each call. -1: the largest group that divides every row, or the weights' own groups; 0: floats.
    """

    precision: Literal["f32", "bf16"] = "f32"
    dynamic_group: int = -1


class OpenVino(ForThisMachine):
    """Lowers the program to ONNX and reads that into OpenVINO's form."""

    name = "openvino"
    about = "Intel's runtime for CPUs; strong on convolutions in int8"
    reference = False
    options = OpenVinoOptions
    schemes = SCHEMES
    rounds_activations = True

    def available(self) -> WorkbenchError | None:
        """Need openvino."""
        return None if importlib.util.find_spec("openvino") else missing_dependency("openvino", "openvino")

    def compile(
        self, source: Source, out: Path, config: CompileConfig, progress: Progress
    ) -> Mapping[str, str]:
        """Write ``model.xml`` and ``model.bin``.

        Raises
        ------
        MissingDependency
            If a package that only compiling needs is not installed.
        CompileError
            If an operator has no ONNX form, or OpenVINO has none for it.
        """
        import openvino

        from ..attention import TRANSLATIONS
        from ..onnx_lowering import model_of

        options = read_options(OpenVinoOptions, config.options, self.name)
        model = model_of(source, TRANSLATIONS)
        _fold_packed(model)
        modules: dict[str, str] = {}
        for node in model.graph:
            modules.setdefault(node.op_type, origin(node)[0])
        with tempfile.TemporaryDirectory(dir=out, prefix=".onnx-") as folder:
            path = Path(folder) / "model.onnx"
            write_onnx(model, path, source.signature)
            progress(0.6, "reading it into OpenVINO")
            try:
                read = _core().read_model(path)
            except RuntimeError as error:
                raise _refused(str(error), modules) from error
            if options.dynamic_group < 0:
                options = replace(options, dynamic_group=_largest_group(read))
            openvino.save_model(read, out / MODEL_FILE, compress_to_fp16=False)
            del read  # it maps the file that goes now
        write_bytes(out / OPTIONS_FILE, json.dumps(asdict(options), sort_keys=True).encode())
        return {"openvino": openvino.__version__}

    def load(self, compiled: Path, threads: int) -> Runner:
        """Return a runner of ``model.xml``."""
        return OpenVinoRunner(compiled, threads)


class OpenVinoRunner:
    """One forward pass in OpenVINO.

    Parameters
    ----------
    compiled
        The folder.
    threads
        Threads of one pass; they are pinned to no core.
    profile
        Count the time of every operator; :attr:`request` gives it.

    Raises
    ------
    CorruptArtifact
        If a file is missing or damaged.
    """

    def __init__(self, compiled: Path, threads: int = 1, *, profile: bool = False) -> None:
        import openvino

        path = compiled / MODEL_FILE
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            "PERF_COUNT": profile,
        }
        try:
            options = OpenVinoOptions(**json.loads((compiled / OPTIONS_FILE).read_bytes()))
            settings["INFERENCE_PRECISION_HINT"] = options.precision
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = options.dynamic_group
            self.model = openvino.Core().compile_model(path, "CPU", settings)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise CorruptArtifact(
                f"OpenVINO cannot load the model: {_last_line(str(error))}",
                where=str(path),
                fix="compile it again",
            ) from error
        self.request = self.model.create_infer_request()
        self._outputs = [output.any_name for output in self.model.outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, np.ndarray[Any, Any]]:
        """Return the outputs by name.

        Raises
        ------
        CompileError
            If a kernel refuses the values (an index out of range, sizes that do not fit).
        """
        try:
            values = self.request.infer(dict(feeds), share_inputs=True)
        except RuntimeError as error:
            shapes = ", ".join(f"{k}: {v.dtype}{list(v.shape)}" for k, v in feeds.items())
            raise CompileError(
                f"OpenVINO failed: {_last_line(str(error))}",
                where=shapes,
                fix="check the values: sizes and indices must be within what the model was built for",
            ) from error
        return dict(zip(self._outputs, values.values(), strict=True))


def _core() -> openvino.Core:
    """Return OpenVINO, told to read :mod:`workbench.compile.attention` as its own operator, which has one kernel."""
    import openvino
    from openvino import opset13
    from openvino.frontend.onnx import ConversionExtension

    from ..attention import DOMAIN, NAME

    def attention(node: Any) -> Any:
        inputs = [node.get_input(number) for number in range(node.get_input_size())]
        causal = bool(node.get_attribute("causal"))
        return opset13.scaled_dot_product_attention(*inputs, causal=causal).outputs()

    core = openvino.Core()
    core.add_extension(ConversionExtension(NAME, DOMAIN, attention))
    return core


def _largest_group(model: openvino.Model) -> int:
    """Return the largest group of activations that divides the rows of every layer with packed weights."""
    sizes = []
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        weight, columns = node.input_value(1).get_node(), node.input(0).get_partial_shape()[-1]
        while weight.get_type_name() in _BETWEEN:
            weight = weight.input_value(0).get_node()
        if weight.get_type_name() == "Constant" and weight.get_element_type().size == 1 and columns.is_static:
            shape = weight.get_output_shape(0)  # three axes: rows, groups, weights of a group
            sizes.append(shape[-1] if len(shape) > 2 else columns.get_length())
    group = math.gcd(*sizes)
    return group if group and group % _LEAST_GROUP == 0 else _LEAST_GROUP


def _fold_packed(model: onnx_ir.Model) -> None:
    """Compute what shapes the packed weights of 4-bit layers: OpenVINO takes them as constants only."""
    if not any(node.op_type == "MatMulNBits" for node in model.graph):
        return
    from onnxscript import optimizer

    shaping = {"Constant", "Reshape", "Expand", "Cast"}
    optimizer.fold_constants(
        model,
        should_fold=lambda node: node.op_type in shaping,
        input_size_limit=_ANY_SIZE,
        output_size_limit=_ANY_SIZE,
    )


def _refused(text: str, modules: Mapping[str, str]) -> CompileError:
    """Name the operators OpenVINO does not know, and the module of the first.

    `modules` has for every kind of operator the module that uses it first.
    """
    words = {word for listed in _LISTED.findall(text) for word in re.findall(r"[A-Za-z]\w*", listed)}
    unknown = sorted(words & set(modules))
    named = ", ".join(unknown)
    place = modules[unknown[0]] if unknown else ""
    return CompileError(
        f"OpenVINO has no form for the operator {named}" if named else f"OpenVINO: {_last_line(text)}",
        where=f"module {place!r}" if place else "the graph",
        fix="use the backend onnxruntime or eager, which take it",
        operators=named,
        backends=["onnxruntime", "eager"],
    )


def _last_line(text: str) -> str:
    """Return the line of OpenVINO's message that says something; the ones before name its sources."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next(
        (line for line in reversed(lines) if not line.startswith(("Exception from", "Check"))),
        "no reason given",
    )


BACKEND = OpenVino()
