"""Importable factories for the tests of capture."""

import torch
from torch import nn


def build():
    """Return a small network, the same each time."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(8, 4), nn.ReLU()).eval()


def five():
    """Return what is no module."""
    return 5
