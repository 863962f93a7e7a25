"""Capture an ONNX file: check it, describe it, run it once on made-up inputs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import disk_guard, inside, write_bytes
from ..errors import CaptureError, CorruptArtifact, MissingInput, NonFinite, UnsafePath
from ..program import ONNX_FILE, Examples, write_examples, write_signature
from ..types import Signature
from .onnx_examples import make_examples
from .onnx_signature import input_specs, output_specs
from .report import CaptureReport, dynamic_names, write_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

_LIMIT = 2**31 - 1  # one protobuf message; what we store is one file
_FLOATS = {1: "float32", 10: "float16", 11: "float64"}  # onnx.TensorProto.DataType


def capture_onnx(path: Path, out: Path) -> CaptureReport:
    """Capture an ONNX file into the folder `out`.

    The example inputs are made up from the signature, always the same; the reference outputs are
    onnxruntime's, with the graph run as written.

    Parameters
    ----------
    path
        The ``.onnx`` file; weights beside it (external data) are taken in.
    out
        An existing folder.

    Raises
    ------
    MissingInput
        If the file, or external data it refers to, is not there.
    CaptureError
        If it is damaged, no valid ONNX model, too large, of operators onnxruntime does not know, or takes or gives
        something that is no tensor.
    UnsafePath
        If external data lies outside the file's folder.
    NonFinite
        If a weight holds NaN or Inf.

    Examples
    --------
    >>> import tempfile, onnx.parser
    >>> text = '<ir_version: 10, opset_import: ["" : 20]> g (float[n, 2] x) => (float[n, 2] y) {y = Relu(x)}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "relu.onnx"
    ...     onnx.save(onnx.parser.parse_model(text), file)
    ...     capture_onnx(file, Path(folder)).signature.outputs[0].shape
    ('n', 2)
    """
    from ..onnx_session import OnnxRunner

    start = time.perf_counter()
    model = _read(path)
    parameters, dtype = _check_weights(model, path)
    with disk_guard(out):
        write_bytes(out / ONNX_FILE, model.SerializeToString(deterministic=True))
    producer = f"onnx {model.producer_name} {model.producer_version}".strip()
    sets = ", ".join(f"{one.domain or 'ai.onnx'} {one.version}" for one in model.opset_import)
    del model
    try:
        runner = OnnxRunner(out / ONNX_FILE, optimize=False)
    except CorruptArtifact as error:  # the checker took it, so it is whole
        raise _other_operators(path, sets, error) from error
    takes = input_specs(runner.session, str(path))
    feeds, results = make_examples(runner, takes, str(path))
    gives = output_specs(runner.session, takes, results, str(path))
    signature = Signature(takes, gives, "tensor" if len(gives) == 1 else "dict")
    write_signature(out, signature)
    write_examples(out, Examples(feeds, results))
    write_record(out, signature, parameters=parameters, dtype=dtype, producer=producer)
    size = (out / ONNX_FILE).stat().st_size
    return CaptureReport(signature, parameters, size, time.perf_counter() - start, dynamic_names(signature))


def _read(path: Path) -> onnx.ModelProto:
    """Return the model with its external data taken in."""
    import onnx

    if not path.is_file():
        raise MissingInput("there is no ONNX file", where=str(path), fix="check the path")
    if path.stat().st_size > _LIMIT:
        raise CaptureError("the file is over 2 GiB", where=str(path), fix="split the model")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except Exception as error:
        raise _damaged(path, error) from error
    _check_external(model, path)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
    except Exception as error:
        raise _damaged(path, error) from error
    return model


def _damaged(path: Path, error: Exception) -> CaptureError:
    text = str(error).strip().partition("\n")[0]
    return CaptureError(
        f"the file is not a valid ONNX model: {text}",
        where=str(path),
        fix="export or download it again; onnx.checker.check_model(path) tells more",
    )


def _other_operators(path: Path, sets: str, error: CorruptArtifact) -> CaptureError:
    """Say which operators are asked for, and the last sentence of what onnxruntime says to that."""
    text = error.what.rpartition("failed:")[2].rpartition(" : ")[2]
    return CaptureError(
        f"onnxruntime does not run its operators ({sets}): {text.rstrip('.').rpartition('. ')[2]}",
        where=str(path),
        fix="export it with opset_version=20 and standard operators; onnx.version_converter changes the version",
    )


def _check_external(model: onnx.ModelProto, path: Path) -> None:
    """Raise unless all external data lies in the model's folder and fits in one file with it."""
    total = path.stat().st_size
    for tensor in _tensors(model.graph):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        location = next((e.value for e in tensor.external_data if e.key == "location"), "")
        try:
            file = inside(path.parent, location)
        except UnsafePath as error:
            error.fix = "put the weights beside the model"
            raise
        if not file.is_file():
            raise MissingInput(
                f"the weights of {tensor.name!r} are in {location!r}, which is not there",
                where=str(path),
                fix="put that file beside the model",
            )
        total += next((int(e.value) for e in tensor.external_data if e.key == "length"), 0)
    if total > _LIMIT:
        raise CaptureError("the model with its external data is over 2 GiB", where=str(path), fix="split it")


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield every stored tensor: initializers and constants, in subgraphs too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for part in attribute.graphs:
                yield from _tensors(part)


def _check_weights(model: onnx.ModelProto, path: Path) -> tuple[int, str]:
    """Return the number of weights and the dtype most have; raise on NaN or Inf in them."""
    import numpy
    from onnx import numpy_helper

    sizes: dict[str, int] = {}
    for tensor in model.graph.initializer:
        array: Any = numpy_helper.to_array(tensor)
        sizes[str(array.dtype)] = sizes.get(str(array.dtype), 0) + array.size
        if tensor.data_type in _FLOATS and not numpy.isfinite(array).all():
            raise NonFinite(
                f"the weight {tensor.name!r} holds NaN or Inf",
                where=f"{path}, {tensor.name}",
                fix="export the model again from sound weights",
            )
    return sum(sizes.values()), max(sorted(sizes), key=lambda n: sizes[n], default="float32")
