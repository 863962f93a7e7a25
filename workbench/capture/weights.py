"""Check a module's weights before anything is built on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CaptureError, NonFinite

if TYPE_CHECKING:
    from torch import Tensor, nn


def check_weights(module: nn.Module) -> None:
    """Raise unless every weight is on the CPU and finite. Buffers may hold Inf (attention masks do).

    Raises
    ------
    NonFinite
        Names the first parameter or buffer with NaN (or, for a parameter, Inf).
    CaptureError
        If a weight is not on the CPU.
    """
    tensors: list[tuple[str, Tensor, bool]] = [(n, p, True) for n, p in module.named_parameters()]
    tensors += [(n, b, False) for n, b in module.named_buffers()]
    for name, tensor, is_parameter in tensors:
        if tensor.device.type != "cpu":
            raise CaptureError(
                f"{name} is on {tensor.device}", where=name, fix="move the module: module.cpu()"
            )
        if tensor.is_floating_point() and tensor.numel() and not _is_fine(tensor, allow_inf=not is_parameter):
            raise NonFinite(
                f"{'parameter' if is_parameter else 'buffer'} {name!r} holds NaN or Inf",
                where=name,
                fix="train or load the module again; look at it with torch.isfinite(...).all()",
            )


def _is_fine(tensor: Tensor, *, allow_inf: bool) -> bool:
    """Look at the extremes: NaN spreads into them, and nothing of the tensor's size is allocated."""
    import torch

    extremes = torch.stack(torch.aminmax(tensor.detach()))
    return not bool(extremes.isnan().any() if allow_inf else (~extremes.isfinite()).any())


def count_parameters(module: nn.Module) -> int:
    """Return the number of weights; shared ones count once."""
    return sum(p.numel() for p in module.parameters())


def main_dtype(module: nn.Module) -> str:
    """Return the dtype that most weights have, as numpy names it; ``float32`` for a module without any."""
    sizes: dict[str, int] = {}
    for tensor in module.parameters():
        name = str(tensor.dtype).removeprefix("torch.")
        sizes[name] = sizes.get(name, 0) + tensor.numel()
    return max(sorted(sizes), key=lambda n: sizes[n], default="float32")
