"""Name the outputs of a module: how it returned them, and a name for each tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import CaptureError
from ..types import OutputStructure

if TYPE_CHECKING:
    from torch import Tensor


def name_outputs(value: Any, module: str) -> tuple[OutputStructure, dict[str, Tensor]]:
    """Return the structure and the tensors by name, in the order in which the program gives them.

    One tensor is ``output``; items of a tuple are ``output_0``, ``output_1``; a dict keeps its keys; nested
    containers are flattened with ``_``. ``None`` (an output switched off) has no name.

    Raises
    ------
    CaptureError
        If there is no tensor, or something that is neither a tensor nor a container.
    """
    import torch

    if isinstance(value, torch.Tensor):
        return "tensor", {"output": value}
    structure: OutputStructure = "dict" if isinstance(value, Mapping) else "tuple"
    named = dict(_leaves("" if structure == "dict" else "output", value, module))
    if not named:
        raise CaptureError("the module returns no tensor", where=module, fix="return a tensor")
    return structure, named


def _leaves(name: str, value: Any, module: str) -> Iterator[tuple[str, Tensor]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{name}_{key}" if name else str(key), item, module)
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _leaves(f"{name}_{index}", item, module)
    elif value is not None:
        raise CaptureError(
            f"output {name!r} is a {type(value).__name__}, not a tensor",
            where=module,
            fix="return tensors, or a tuple or dict of tensors",
        )
