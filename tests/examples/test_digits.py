"""The digits CNN learns in seconds."""

from __future__ import annotations

import torch

from workbench.examples import digits


def test_it_learns() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = digits.load()
    model = digits.train(digits.DigitsNet(), data, epochs=4)
    assert sum(p.numel() for p in model.parameters()) == 90_250
    assert digits.accuracy(model, data) > 0.93
