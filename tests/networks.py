"""Small networks that between them take and return everything a captured module may."""

from typing import NamedTuple

import torch
from torch import nn


class Recurrent(nn.Module):
    """An LSTM or GRU that takes its state and returns the next."""

    def __init__(self, kind):
        super().__init__()
        self.cell = kind(4, 6, batch_first=True)

    def forward(self, x, state):
        return self.cell(x, state)


class Tagger(nn.Module):
    """Integer, bool and keyword-only inputs; a nested dict of float, bool and integer outputs."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 3)
        self.register_buffer("floor", torch.full((3,), -torch.inf))

    def forward(self, ids, mask, *, scale):
        scores = torch.maximum(self.head(self.table(ids)) * scale, self.floor)
        return {"scores": scores, "any": mask.any(1), "count": {"kept": (ids * mask).sum(1)}}


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


class Clashing(nn.Module):
    """Parameters, inputs and outputs that share names; an input returned as it is, twice."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(40, 40))
        self.output_0 = nn.Parameter(torch.randn(40, 40))

    def forward(self, weight, relu):
        return Pair(torch.relu(weight @ self.weight @ self.output_0) + relu, relu), relu


class Branching(nn.Module):
    """Branches on a tensor's value, which cannot be captured."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Linear(4, 4)

    def forward(self, x):
        x = self.scale(x)
        if x.sum() > 0:
            return x
        return -x


class Singular(nn.Module):
    """Uses an operator that ONNX does not have."""

    def forward(self, x):
        return torch.linalg.svdvals(x)


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Dropout2d(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )


def perceptron():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def normalized():
    """A batch norm whose statistics are not those of a fresh one, so that folding it wrongly shows."""
    network = convolutional()
    with torch.no_grad():
        network[1].running_mean.uniform_(-1, 1)
        network[1].running_var.uniform_(0.5, 2)
        network[1].weight.uniform_(0.5, 2)
    return network


def tags(batch=2, tokens=5):
    generator = torch.Generator().manual_seed(0)
    return {
        "scale": torch.tensor(2.0),
        "mask": torch.rand(batch, tokens, generator=generator) > 0.3,
        "ids": torch.randint(0, 10, (batch, tokens), generator=generator),
    }


# name -> (how to build it, example inputs)
ZOO = {
    "perceptron": (perceptron, lambda: torch.randn(3, 4)),
    "batch_of_one": (perceptron, lambda: torch.randn(1, 4)),
    "convolutional": (normalized, lambda: torch.randn(3, 1, 8, 8)),
    "lstm": (
        lambda: Recurrent(nn.LSTM),
        lambda: (torch.randn(2, 5, 4), (torch.randn(1, 2, 6), torch.randn(1, 2, 6))),
    ),
    "gru": (lambda: Recurrent(nn.GRU), lambda: (torch.randn(2, 5, 4), torch.randn(1, 2, 6))),
    "bidirectional": (
        lambda: nn.GRU(4, 6, num_layers=2, bidirectional=True, batch_first=True),
        lambda: torch.randn(3, 5, 4),
    ),
    "tagger": (Tagger, tags),
    "clashing": (Clashing, lambda: (torch.randn(2, 40), torch.randn(2, 40))),
    "attention": (
        lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
        lambda: torch.randn(2, 5, 16),
    ),
    "double": (lambda: nn.Linear(4, 3, dtype=torch.float64), lambda: torch.randn(2, 4, dtype=torch.float64)),
}


def build(name):
    """Return a network of the zoo and its example inputs, the same at each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, inputs = ZOO[name]
        return network(), inputs()


def build_perceptron():
    """A factory, importable by name."""
    return build("perceptron")[0]
