"""Compare a compiled model with eager: on the captured inputs, and at other sizes where sizes may change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import CompileError, CorruptArtifact, NumericalMismatch
from ..types import Signature
from .source import Source
from .tolerance import Tolerance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..session import Runner

    Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """Inputs, what eager gives for them, and the dynamic sizes they have."""

    sizes: Mapping[str, int]
    feeds: Mapping[str, Array]
    expected: Mapping[str, Array]


def make_cases(source: Source) -> list[Case]:
    """Return the captured inputs and, for other sizes that eager accepts, inputs of these sizes.

    Raises
    ------
    CompileError
        If a torch program takes no size but the captured one, although its signature promises others.
    """
    captured = _sizes(source.signature, source.examples.inputs)
    cases = [Case(captured, source.examples.inputs, source.examples.outputs)]
    refused: Exception | None = None
    for sizes in _other_sizes(source.signature, captured):
        feeds = _resize(source.signature, source.examples.inputs, sizes)
        try:
            cases.append(Case(sizes, feeds, source.run(feeds)))
        except CorruptArtifact:
            raise
        except Exception as error:  # noqa: BLE001 - a table may end at the captured size: the next may be accepted
            refused = error
    if refused is not None and len(cases) == 1 and not source.is_onnx:
        raise CompileError(
            f"the program takes only the captured sizes: {str(refused).partition(chr(10))[0]}",
            where=", ".join(f"{name}={size}" for name, size in captured.items()),
            fix='capture it again with dynamic="none", or leave these dimensions out of dynamic="..."',
        ) from refused
    return cases


def _sizes(signature: Signature, arrays: Mapping[str, Array]) -> dict[str, int]:
    """Return the size of every dynamic dimension."""
    return {
        dim: size
        for spec in signature.inputs
        for dim, size in zip(spec.shape, arrays[spec.name].shape, strict=True)
        if isinstance(dim, str)
    }


def _other_sizes(signature: Signature, captured: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Yield every size one larger, one smaller, and a batch of one: the program was traced with at least two."""
    free = {name: size for name, size in captured.items() if name.isidentifier()}
    if not free or len(free) < len(captured):  # sizes tied by an expression do not move on their own
        return
    yield {name: size + 1 for name, size in free.items()}
    if any(size > 2 for size in free.values()):
        yield {name: max(size - 1, min(size, 2)) for name, size in free.items()}
    first = {spec.shape[0] for spec in signature.inputs if spec.shape}
    if any(size > 1 and name in first for name, size in free.items()):
        yield {name: 1 if name in first else size for name, size in free.items()}


def _resize(
    signature: Signature, arrays: Mapping[str, Array], sizes: Mapping[str, int]
) -> dict[str, np.ndarray[Any, Any]]:
    """Repeat or cut the captured inputs along their dynamic dimensions."""
    import numpy

    resized = {}
    for spec in signature.inputs:
        array = arrays[spec.name]
        for axis, dim in enumerate(spec.shape):
            if isinstance(dim, str):
                array = numpy.take(array, numpy.arange(sizes[dim]) % array.shape[axis], axis)
        resized[spec.name] = numpy.asarray(array, order="C")
    return resized


def compare(runner: Runner, cases: list[Case], tolerance: Tolerance, where: str) -> float:
    """Return the largest absolute error over all cases and float outputs.

    Raises
    ------
    NumericalMismatch
        If an output's shape, dtype or values differ from eager's by more than the tolerance.
    """
    worst = 0.0
    for case in cases:
        given = runner.run(case.feeds)
        for name, expected in case.expected.items():
            worst = max(worst, _compare_one(name, given[name], expected, case, tolerance, where))
    return worst


def _compare_one(
    name: str, given: Array, expected: Array, case: Case, tolerance: Tolerance, where: str
) -> float:
    if given.shape != expected.shape or given.dtype != expected.dtype:
        raise _mismatch(
            f"output {name!r} is {given.dtype}{list(given.shape)}, eager gives"
            f" {expected.dtype}{list(expected.shape)}",
            where,
            case,
            output=name,
        )
    if not expected.size:
        return 0.0
    if expected.dtype.kind != "f":
        error, allowed = float((given != expected).mean()), tolerance.relative
        what = f"{error:.3g} of the elements of output {name!r} differ from eager, {allowed:.3g} may"
    else:
        error, peak = _distance(given, expected)
        allowed = tolerance.absolute + tolerance.relative * peak
        what = f"output {name!r} differs from eager by {error:.3g}, at most {allowed:.3g} is allowed"
    if not error <= allowed:
        raise _mismatch(what, where, case, output=name, error=error, allowed=allowed)
    return error if expected.dtype.kind == "f" else 0.0


def _distance(given: Array, expected: Array) -> tuple[float, float]:
    """Return the largest difference and the peak; NaN and Inf must stand at the same places."""
    import numpy

    finite = numpy.isfinite(expected)
    if not numpy.array_equal(given[~finite], expected[~finite], equal_nan=True):
        return float("inf"), 0.0
    if not finite.any():
        return 0.0, 0.0
    peak = float(numpy.abs(expected[finite]).max())
    return float(numpy.abs(given[finite].astype("float64") - expected[finite]).max()), peak


def _mismatch(what: str, where: str, case: Case, **fields: Any) -> NumericalMismatch:
    sizes = ", ".join(f"{name}={size}" for name, size in case.sizes.items())
    return NumericalMismatch(
        what,
        where=where + (f", sizes {sizes}" if sizes else ""),
        fix="give a larger tolerance_abs or tolerance_rel if this error is fine, or use the backend eager",
        **fields,
    )
