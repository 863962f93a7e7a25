"""A program or variant as one ONNX file that stock onnxruntime runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..atomic import disk_guard, write_bytes
from ..errors import InputError
from .onnx_lowering import model_of
from .onnx_model import write_onnx
from .source import Source

_LIMIT = 2**31 - 1
"""What one protobuf holds."""


def export_onnx(program: Path, path: Path) -> int:
    """Write the ONNX form of a program's folder, weights inside; return its bytes.

    Raises
    ------
    CompileError
        If an operator has no ONNX form.
    InputError
        If it is larger than one ONNX file may be.
    """
    import onnx_ir

    source = Source(program)
    model = model_of(source)
    with disk_guard(path), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        apart = Path(folder) / "model.onnx"
        write_onnx(model, apart, source.signature)
        whole = onnx_ir.external_data.load_to_model(onnx_ir.load(apart))
        data = onnx_ir.to_proto(whole).SerializeToString()
    if len(data) > _LIMIT:
        raise InputError("the model is larger than the 2 GiB of one ONNX file", where=str(path))
    write_bytes(path, data)
    return len(data)
