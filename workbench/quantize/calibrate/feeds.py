"""Turn whatever a user calls calibration data into checked batches of the program's inputs.

A batch is what the model is called with: a tensor, a tuple of tensors, or a mapping by input name. One
tensor, array or mapping alone is one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.errors import NonFinite
from workbench.session import bind, check_feeds, to_numpy
from workbench.types import Signature


def batches(calibration: Any, signature: Signature, *, where: str = "") -> Iterator[list[Tensor]]:
    """Yield the inputs of each batch in the order of the signature.

    `where` names a batch in errors; by default ``calibration batch N``.

    Raises
    ------
    BadTensor
        If a batch does not fit the signature; names the batch.
    NonFinite
        If a batch holds NaN or infinity; names the batch.
    """
    if isinstance(calibration, Tensor | np.ndarray | Mapping):
        calibration = [calibration]
    for index, batch in enumerate(_iterable(calibration)):
        place = where or f"calibration batch {index}"
        values = bind(signature, (batch,), {}, where=place)
        arrays = {name: to_numpy(value) for name, value in values.items()}
        check_feeds(signature, arrays, where=place)
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise NonFinite(
                    f"{place} holds NaN or infinity",
                    where=f"input {name!r}",
                    fix="clean the data, or leave this batch out",
                    batch=index,
                )
        yield [torch.from_numpy(np.ascontiguousarray(arrays[s.name])) for s in signature.inputs]


def _iterable(calibration: Any) -> Iterable[Any]:
    found: Iterable[Any] = calibration() if callable(calibration) else calibration
    return found
