"""A loaded model you can call: the seam between compiled artifacts and everything that runs them.

A backend implements :class:`Runner` (named arrays in, named arrays out, no checks). :class:`Session` wraps
it with validation against the signature and with the calling convention of the original module.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from .errors import BadTensor
from .input_sizes import Bounds, check_bounds
from .types import Signature, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Runner(Protocol):
    """What a backend provides: one forward pass over named arrays that are known to fit."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name."""


class Session:
    """A model ready to run, whatever compiled it.

    Parameters
    ----------
    signature
        What it takes and gives.
    runner
        The backend's forward pass.
    name
        Shown in errors and tables.
    bounds
        Least and largest value of dynamic sizes, where these have any.

    Examples
    --------
    >>> import numpy as np
    >>> from workbench.types import Signature, TensorSpec
    >>> class Double:
    ...     def run(self, feeds):
    ...         return {"y": feeds["x"] * 2}
    >>> s = Signature((TensorSpec("x", "float32", ("batch", 2)),), (TensorSpec("y", "float32", ("batch", 2)),))
    >>> Session(s, Double())(np.ones((1, 2), np.float32)).tolist()
    [[2.0, 2.0]]
    """

    def __init__(
        self, signature: Signature, runner: Runner, name: str = "model", bounds: Bounds | None = None
    ) -> None:
        self.signature = signature
        self.bounds = bounds
        self.runner = runner
        self.name = name

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Check the named arrays against the signature and run one forward pass.

        Raises
        ------
        BadTensor
            If a name, dtype, rank or fixed size does not fit, two tensors disagree on a dynamic size, or it is
            beyond what the model was captured for.
        """
        check_feeds(self.signature, feeds, where=self.name)
        if self.bounds:
            for spec in self.signature.inputs:
                shape = feeds[spec.name].shape
                check_bounds(self.bounds, spec, shape, where=f"{self.name}, input {spec.name!r}")
        return self.runner.run(feeds)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it like the captured module: tensors, one tuple or list of them, or a mapping by name.

        Torch tensors in give torch tensors out, numpy arrays give numpy arrays.
        """
        values = bind(self.signature, args, kwargs, where=self.name)
        torch = sys.modules.get("torch")
        from_torch = torch is not None and any(isinstance(v, torch.Tensor) for v in values.values())
        outputs = self.run({k: to_numpy(v) for k, v in values.items()})
        ordered = {s.name: outputs[s.name] for s in self.signature.outputs}
        if from_torch and torch is not None:
            ordered = {k: torch.from_numpy(v) for k, v in ordered.items()}
        if self.signature.output_structure == "dict":
            return ordered
        if self.signature.output_structure == "tuple":
            return tuple(ordered.values())
        return next(iter(ordered.values()))


def bind(
    signature: Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, where: str
) -> dict[str, Any]:
    """Return the arguments of a call by input name; tensors in a nested tuple or dict count one by one."""
    positional: Sequence[Any] = args
    if len(args) == 1 and not kwargs:
        (only,) = args
        if isinstance(only, Mapping):
            positional, kwargs = (), only
        elif isinstance(only, list | tuple):
            positional = only
    names = [s.name for s in signature.inputs]
    positional = [leaf for value in positional for _, leaf in _leaves("", value)]
    if len(positional) > len(names):
        raise BadTensor(
            f"{len(positional)} inputs given, the model takes {len(names)}",
            where=where,
            fix=describe(signature),
        )
    named = dict(leaf for name, value in kwargs.items() for leaf in _leaves(name, value))
    return {**dict(zip(names, positional, strict=False)), **named}


def _leaves(name: str, value: Any) -> list[tuple[str, Any]]:
    """Return ``(name, value)``, or for a container of tensors its items, named as capture names them."""
    items = dict(enumerate(value)) if isinstance(value, tuple | list) else value
    if not isinstance(items, Mapping) or not all(_holds_tensors(item) for item in items.values()):
        return [(name, value)]
    return [leaf for key, item in items.items() for leaf in _leaves(f"{name}_{key}", item)]


def _holds_tensors(value: Any) -> bool:
    """Tell a state such as ``(h, c)`` from nested lists of numbers, which are one tensor written out."""
    if isinstance(value, tuple | list):
        return all(_holds_tensors(item) for item in value)
    return hasattr(value, "shape") or isinstance(value, Mapping)


def check_feeds(signature: Signature, feeds: Mapping[str, Array], *, where: str) -> None:
    """Raise :class:`BadTensor` unless the named arrays fit the signature."""
    expected = {s.name: s for s in signature.inputs}
    if set(feeds) != set(expected):
        absent, extra = sorted(set(expected) - set(feeds)), sorted(set(feeds) - set(expected))
        what = "; ".join(
            f"{label} {', '.join(names)}"
            for label, names in (("missing", absent), ("unknown", extra))
            if names
        )
        raise BadTensor(f"inputs do not fit: {what}", where=where, fix=describe(signature))
    sizes: dict[str, int] = {}
    for name, spec in expected.items():
        _check_one(spec, feeds[name], sizes, where=f"{where}, input {name!r}")


_SHAPE_FIX = "numbers are fixed; a dimension with a name has any size, the same one wherever the name stands"


def _check_one(spec: TensorSpec, array: Array, sizes: dict[str, int], *, where: str) -> None:
    shape = "[" + ", ".join(map(str, spec.shape)) + "]"
    if dtype_name(array.dtype) != spec.dtype:
        raise BadTensor(
            f"dtype is {array.dtype}, expected {spec.dtype}", where=where, fix=f"convert it to {spec.dtype}"
        )
    fits = array.ndim == len(spec.shape) and all(
        (want if isinstance(want, int) else sizes.setdefault(want, size)) == size
        for size, want in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        raise BadTensor(f"shape is {list(array.shape)}, expected {shape}", where=where, fix=_SHAPE_FIX)


@lru_cache(256)
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return numpy's name of a dtype; finding it takes numpy several microseconds each time."""
    return str(dtype)


def describe(signature: Signature) -> str:
    """Return the inputs as ``name: dtype[shape]``, for messages."""
    return describe_tensors(signature.inputs)


def describe_tensors(specs: Iterable[TensorSpec]) -> str:
    """Return tensors as ``name: dtype[shape]``, by commas."""
    return ", ".join(f"{s.name}: {s.dtype}[{', '.join(map(str, s.shape))}]" for s in specs)


def to_numpy(value: Any) -> np.ndarray[Any, Any]:
    """Return a tensor, array or number as an array; bfloat16, which numpy lacks, as float32."""
    import numpy

    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()  # type: ignore[no-any-return]
    return numpy.asarray(value)
