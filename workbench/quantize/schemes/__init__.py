"""Quantization schemes, one a file, found by name (see :mod:`workbench.quantize.base`)."""
