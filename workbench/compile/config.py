"""How to compile, as a record: the parameters of one recipe step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..codec import register
from ..errors import InputError
from .options import Scalar


@register("compile_config")
@dataclass(frozen=True)
class CompileConfig:
    """How to compile a program.

    Parameters
    ----------
    backend
        A file of ``compile/backends``, such as ``onnxruntime``; ``%mlops backends`` lists them.
    tolerance_abs, tolerance_rel
        An output passes when it differs from eager by at most ``tolerance_abs + tolerance_rel * peak``, where
        peak is the largest magnitude eager gave for it. None: a default by dtype and scheme
        (:mod:`workbench.compile.tolerance`).
    threads
        Threads of the session that is checked.
    target
        The machine to compile for, such as ``aarch64-neon``; empty for this one. Only some backends have
        targets.
    options
        The backend's own options by name; the backend checks them when it compiles.

    Raises
    ------
    InputError
        If a value is out of its range.

    Examples
    --------
    >>> CompileConfig().backend
    'onnxruntime'
    """

    backend: str = "onnxruntime"
    tolerance_abs: float | None = None
    tolerance_rel: float | None = None
    threads: int = 1
    target: str = ""
    options: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("tolerance_abs", self.tolerance_abs), ("tolerance_rel", self.tolerance_rel)):
            if value is not None and not 0 <= value < float("inf"):
                raise InputError(f"{name} is {value}", where=name, fix="a number from 0 up, or None")
        if self.threads < 1:
            raise InputError(f"threads is {self.threads}", where="threads", fix="1 or more")
