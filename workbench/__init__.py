"""Quantize, compile, profile and stage a torch model without leaving the notebook.

::

    import workbench as wb                  %load_ext workbench
    wb.capture(encoder, batch, name="m")    %mlops capture encoder --inputs batch --name m

The public names are the functions of :mod:`workbench.api`, :class:`~workbench.store.Store` and
:class:`~workbench.pipeline.result.Result`; each is imported when it is first used, so that importing the
package costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import inspect

    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(
        (
            "asm",
            "backends",
            "attach",
            "build_environment",
            "cancel",
            "capture",
            "choose",
            "collector",
            "compare",
            "compile",
            "diff",
            "each",
            "environment",
            "export",
            "export_environment",
            "export_manifests",
            "export_pipeline",
            "freeze",
            "gc",
            "lineage",
            "logs",
            "mirror",
            "new_key",
            "on_exit",
            "operators",
            "pause",
            "pipeline",
            "probe",
            "profile",
            "promote",
            "prune",
            "pull",
            "push",
            "quantize",
            "reproduce",
            "resume",
            "rollback",
            "router",
            "run",
            "runs",
            "show",
            "status",
            "sweep",
            "sweeps",
            "step",
            "stored",
            "track",
            "trust_key",
            "trusted_keys",
            "unstage",
            "verify",
            "watch",
            "when",
        ),
        "workbench.api",
    ),
    "Result": "workbench.pipeline.result",
    "Store": "workbench.store",
}

__all__ = ["__version__", *sorted(_HOMES)]


class _VerbPackage(ModuleType):
    """A package named like its verb, which can be called as the verb: ``workbench.quantize(...)``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        import inspect

        return inspect.signature(self._function)

    @property
    def _function(self) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(importlib.import_module(_HOMES[name]), name)


class _Package(ModuleType):
    """The package itself, which makes those packages callable.

    Importing ``workbench.quantize`` binds that name to the package, over the function of the api: with this,
    ``wb.quantize(...)`` works before and after.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and type(value) is ModuleType:
            value.__class__ = _VerbPackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def load_ipython_extension(ip: InteractiveShell) -> None:
    """Register ``%mlops``: what ``%load_ext workbench`` calls."""
    from .magics import load

    load(ip)


def unload_ipython_extension(ip: InteractiveShell) -> None:
    """Take ``%mlops`` away again: what ``%unload_ext workbench`` calls."""
    from .magics import unload

    unload(ip)
