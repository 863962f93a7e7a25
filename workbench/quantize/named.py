"""Number formats by a short name: what ``--backend auto`` tries, each a whole configuration."""

from __future__ import annotations

from .config import QuantizeConfig

NAMED: dict[str, QuantizeConfig | None] = {
    "none": None,
    "int8-static": QuantizeConfig(mode="static"),
    "int8-auto": QuantizeConfig(mode="auto"),
    "int8-dynamic": QuantizeConfig(mode="dynamic"),
    "int4-32": QuantizeConfig("int4"),
}
"""Configurations by name; None leaves the program as it is.

===============  ==========================================================================
``int8-static``  every activation on a calibrated grid
``int8-auto``    convolutions on calibrated grids, linear layers where that costs little
``int8-dynamic`` activations on grids found at each call; no calibration data
``int4-32``      4-bit weights in groups of 32; activations float, or int8 as the backend has it
===============  ==========================================================================
"""

FOR_ONNX_FILES = ("none", "int8-static", "int8-dynamic")
"""Those that also take a program captured from an ONNX file."""
