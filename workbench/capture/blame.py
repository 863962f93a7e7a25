"""Turn an export failure into an error that names the user's module and line."""

from __future__ import annotations

import linecache
import sysconfig
import traceback
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from ..errors import CaptureError

if TYPE_CHECKING:
    from torch import nn

# First match wins: part of torch's exception name or message -> what the user can do.
_ADVICE = (
    (
        ("GuardOnDataDependent", "data-dependent", "DataDependent"),
        "Python cannot branch on a tensor's value in a captured program:"
        " use torch.where or torch.cond, or move the branch out of forward",
    ),
    (
        ("ConstraintViolation", "Constraints violated", "not all values"),
        'the model needs a fixed size: leave that dimension out of dynamic="...", or use dynamic="auto"',
    ),
    (
        ("mat1 and mat2", "size mismatch", "must match", "must be Tensor", "Expected", "expected"),
        "check the example inputs: names, shapes and dtypes must be those that forward takes",
    ),
)
_OTHER = "rewrite this line with tensor operations that torch.export supports"


def blame(module: nn.Module, error: BaseException) -> CaptureError:
    """Return the :class:`CaptureError` for an exception that came out of an export or a forward pass."""
    frames = [(f, line) for f, line in _walk(error)]
    user = [(f, line) for f, line in frames if _is_users(f.f_code.co_filename)]
    path = _module_path(module, [f for f, _ in frames])
    text = str(error).strip() or type(error).__name__
    where = f"module {path!r}" if path else type(module).__name__
    if user:
        frame, line = user[-1]
        source = linecache.getline(frame.f_code.co_filename, line).strip()
        where += f", {frame.f_code.co_filename}:{line}" + (f": {source}" if source else "")
    described = f"{type(error).__name__}: {text}"
    fix = next((advice for words, advice in _ADVICE if any(w in described for w in words)), _OTHER)
    first = text.splitlines()[0]
    return CaptureError(f"the module cannot be captured: {first}", where=where, fix=fix, module=path)


def _walk(error: BaseException) -> list[tuple[FrameType, int]]:
    """Return the frames of the exception, outermost first; or those of a cause that has the user's."""
    own = _frames(error.__traceback__)
    cause = error.__cause__
    if cause is not None and not any(_is_users(f.f_code.co_filename) for f, _ in own[1:]):
        return own + _walk(cause)
    return own


def _frames(trace: TracebackType | None) -> list[tuple[FrameType, int]]:
    return list(traceback.walk_tb(trace))


def _is_users(file: str) -> bool:
    """Tell whether a frame is the user's code: not torch, not the standard library, not this package."""
    skip = (sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), str(Path(__file__).parent))
    return not file.startswith((*skip, "<"))


def _module_path(root: nn.Module, frames: list[FrameType]) -> str:
    """Return the dotted path of the innermost submodule whose code was running."""
    paths = {id(m): name for name, m in root.named_modules()}
    running = [paths[id(f.f_locals["self"])] for f in frames if id(f.f_locals.get("self")) in paths]
    return running[-1] if running else ""
