"""Two small models of the kinds people quantize: a CNN for digits and a transformer over characters."""

import torch
from torch import nn

from workbench.capture import capture_module
from workbench.quantize import QuantizeConfig, quantize_program


def digits_cnn():
    """Return a CNN with batch norms that have seen data, and a batch of images."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 10),
    )  # fmt: skip
    for module in network:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return network, torch.rand(4, 1, 8, 8)


class CharTransformer(nn.Module):
    """A causal transformer over 64 characters that knows 32 positions."""

    def __init__(self, width=64, heads=4, layers=2, positions=32):
        super().__init__()
        self.table = nn.Embedding(64, width)
        self.positions = nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.head = nn.Linear(width, 64)

    def forward(self, ids):
        length = ids.shape[1]
        x = self.table(ids) + self.positions(torch.arange(length, device=ids.device))
        mask = torch.triu(torch.full((length, length), float("-inf")), 1)
        for block in self.blocks:
            x = block(x, src_mask=mask)
        return self.head(x)


def char_transformer():
    """Return the transformer and a batch of sequences."""
    torch.manual_seed(0)
    return CharTransformer(), torch.randint(0, 64, (2, 16))


MODELS = {"digits": digits_cnn, "characters": char_transformer}


def ternary_variant(folder, name):
    """Capture a model into `folder` and return the folder of its ternary variant."""
    module, inputs = MODELS[name]()
    program, variant = folder / "program", folder / "variant"
    program.mkdir()
    variant.mkdir()
    capture_module(module.eval(), inputs, program)
    quantize_program(program, variant, QuantizeConfig(scheme="ternary"), calibration=[inputs])
    return variant
