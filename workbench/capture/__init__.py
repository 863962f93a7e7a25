"""Capture a model: a torch module, an ONNX file, or weights with the function that builds their module.

Each function fills a program folder (``program.pt2`` or ``program.onnx``, ``signature.json``,
``examples.safetensors``, ``capture.json``) and returns a :class:`CaptureReport`. The same model gives the
same bytes in every process.
"""

from .factory import capture_factory
from .module import capture_module
from .onnx_file import capture_onnx
from .report import CaptureReport

__all__ = ["CaptureReport", "capture_factory", "capture_module", "capture_onnx"]
