"""Handwritten digits (UCI, 1,797 images of 8x8, shipped with scikit-learn) and a small CNN for them.

The split keeps file order: the last 30 % are held out, so that the same hand is rarely on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

TRAIN_SHARE = 0.7
BATCH = 64


@dataclass(frozen=True)
class Digits:
    """Images float32 [n, 1, 8, 8] in 0..1 and labels int64 [n]."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load() -> Digits:
    """Return the data set, split 70/30 in file order."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    raw: Any = load_digits()
    images = torch.tensor(raw.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(raw.target)
    cut = int(len(images) * TRAIN_SHARE)
    return Digits(images[:cut], labels[:cut], images[cut:], labels[cut:])


class DigitsNet(nn.Module):
    """Three convolutions with batch norm, two linear layers: 90,250 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(1, 32), *_block(32, 64), nn.MaxPool2d(2), *_block(64, 64), nn.MaxPool2d(2)
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, image: Tensor) -> Tensor:
        """image: float32 [batch, 1, 8, 8] -> logits [batch, 10]."""
        return self.head(self.features(image))  # type: ignore[no-any-return]


def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()


def train(model: DigitsNet, data: Digits, epochs: int = 6, seed: int = 0) -> DigitsNet:
    """Train in place with AdamW and a one-cycle schedule; images are shifted by up to one pixel.

    Seconds on one core. Returns the model in evaluation mode.
    """
    generator = torch.Generator().manual_seed(seed)
    batches = -(-len(data.train_images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=epochs * batches)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(data.train_images), generator=generator)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            shift = torch.randint(-1, 2, (2,), generator=generator).tolist()
            images = torch.roll(data.train_images[chosen], shift, (2, 3))
            loss = functional.cross_entropy(model(images), data.train_labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model.eval()


def accuracy(model: Any, data: Digits) -> float:
    """Return the share of held-out digits that `model` (a module or a session) names right."""
    with torch.inference_mode():
        predicted = model(data.test_images).argmax(1)
    return float((predicted == data.test_labels).float().mean())
