"""Digits: a perceptron and a CNN, trained here; a network in the shape of ResNet-18 with random weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.examples import digits

from . import Specimen

_SEED, _EPOCHS = 0, 20


class Perceptron(nn.Module):
    """64 -> 256 -> 256 -> 10."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
        )

    def forward(self, image: Tensor) -> Tensor:
        """image: [batch, 1, 8, 8] -> logits [batch, 10]."""
        return self.layers(image)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Two convolutions and a way around them (He et al. 2015, arXiv:1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, 3, stride)
        self.second = _convolution(outputs, outputs, 3, 1)
        same = stride == 1 and inputs == outputs
        self.around = nn.Identity() if same else _convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, inputs, h, w] -> [batch, outputs, h / stride, w / stride]."""
        return functional.relu(self.second(functional.relu(self.first(x))) + self.around(x))


class ResNet18(nn.Module):
    """The layers of ResNet-18 for images of 224x224: 11.7 million parameters, 1.8 G multiply-adds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        widths = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        self.blocks = nn.Sequential(*(nn.Sequential(Block(i, o, s), Block(o, o, 1)) for i, o, s in widths))
        self.head = nn.Linear(512, 1000)

    def forward(self, image: Tensor) -> Tensor:
        """image: [batch, 3, 224, 224] -> logits [batch, 1000]."""
        return self.head(self.blocks(self.stem(image)).mean((2, 3)))  # type: ignore[no-any-return]


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def digits_mlp() -> Specimen:
    """Return the perceptron, trained on digits."""
    return _digits(Perceptron())


def digits_cnn() -> Specimen:
    """Return the CNN of the tutorials, trained on digits."""
    return _digits(digits.DigitsNet())


def _digits(model: nn.Module) -> Specimen:
    data = digits.load()
    digits.train(model, data, epochs=_EPOCHS)  # type: ignore[arg-type]
    batches = [(data.train_images[at : at + 32],) for at in range(0, 512, 32)]
    return Specimen(model.eval(), (data.test_images[:8],), batches, accuracy)


def accuracy(session: object) -> float:
    """Return the share of held-out digits that are read right, in points."""
    return 100 * digits.accuracy(session, digits.load())


def resnet18() -> Specimen:
    """Return the network with random weights; its statistics are those of random images."""
    torch.manual_seed(_SEED)
    model, images = ResNet18(), torch.randn(24, 3, 224, 224)
    model.train()
    with torch.no_grad():
        model(images[:8])  # batch norms see an input once
    return Specimen(model.eval(), (images[8:16],), [(images[at : at + 4],) for at in (16, 20)])
