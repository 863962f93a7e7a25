"""Number formats by a short name: what ``--backend auto`` tries, each a whole configuration."""

from __future__ import annotations

from .config import QuantizeConfig

NAMED: dict[str, QuantizeConfig | None] = {
    "none": None,
    "int8-static": QuantizeConfig(mode="static"),
    "int8-smooth": QuantizeConfig(mode="static", smooth="auto"),
    "int8-auto": QuantizeConfig(mode="auto"),
    "int8-weights": QuantizeConfig(mode="weights"),
    "int8-dynamic": QuantizeConfig(mode="dynamic"),
    "int4-32": QuantizeConfig("int4"),
    "int4-128": QuantizeConfig("int4", group=128),
}
"""Configurations by name, those that usually are fastest and pass first; None leaves the program as it is.

===============  ==========================================================================
``int8-static``  every activation on a calibrated grid
``int8-auto``    convolutions on calibrated grids, linear layers where that costs little
``int8-dynamic`` activations on grids found at each call; no calibration data
``int8-smooth``  as ``int8-static``, inputs of linear layers equalized first where that helps
``int8-weights`` weights only, activations float
``int4-32``      4-bit weights in groups of 32; activations float, or int8 as the backend has it
``int4-128``     the same in groups of 128
===============  ==========================================================================
"""

FOR_ONNX_FILES = ("none", "int8-static", "int8-dynamic")
"""Those that also take a program captured from an ONNX file."""
