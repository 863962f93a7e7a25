"""Quantize, compile, profile and stage a torch model without leaving the notebook."""
__version__ = "0.1.0"
