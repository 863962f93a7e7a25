"""The one place that knows where the TVM wheel lies and what it needs around it."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...errors import MissingDependency, missing_dependency

FFI = "0.1.14.post0"
"""The only version of apache-tvm-ffi this TVM works with: a newer one crashes in every tuning run."""


def missing() -> MissingDependency | None:
    """Return None if TVM is installed with the library it fits, else what to type."""
    if importlib.util.find_spec("tvm") is None:
        return missing_dependency("apache-tvm", "tvm")
    try:
        found = version("apache-tvm-ffi")
    except PackageNotFoundError:
        return missing_dependency("apache-tvm-ffi", "tvm")
    if found != FFI:
        return MissingDependency(
            f"apache-tvm-ffi is {found}; with any but {FFI} this TVM crashes without a message",
            where="apache-tvm-ffi",
            fix=f"pip install apache-tvm-ffi=={FFI}",
        )
    return None


def compiler() -> Any:
    """Return the module ``tvm``: compiler and all. Takes seconds and some 400 MB the first time.

    Raises
    ------
    MissingDependency
        If it is not installed, or with a library it does not fit.
    """
    _prepare()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Every search would first import TVM's tensor intrinsics, most of them for GPUs: half a minute of parsing, for
        # nothing, since the one for this kind of processor does not compile with the LLVM that the wheel brings.
        sys.modules.setdefault("tvm.s_tir.tensor_intrin", types.ModuleType("tvm.s_tir.tensor_intrin"))
        import tvm
        import tvm.relax
        import tvm.s_tir.meta_schedule
    return tvm


def runtime() -> Any:
    """Return the module ``tvm_ffi`` with TVM's small runtime loaded: 6 MB, no compiler.

    Raises
    ------
    MissingDependency
        If it is not installed, or with a library it does not fit.
    """
    _prepare()
    if "tvm" in sys.modules:  # its libraries are loaded, the small one would come twice
        return sys.modules["tvm_ffi"]
    import ctypes

    ffi = _without_torch()
    spec = importlib.util.find_spec("tvm")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    ctypes.CDLL(str(folder / "lib" / "libtvm_runtime.so"), ctypes.RTLD_GLOBAL)
    return ffi


def _prepare() -> None:
    if lacking := missing():
        raise lacking
    # TVM's pool would pin the thread that calls it to one core, and with it a notebook and all that it starts.
    os.environ.setdefault("TVM_BIND_THREADS", "0")


def _without_torch() -> Any:
    """Import ``tvm_ffi``, which imports torch where it finds it, although it needs it only for torch tensors."""
    if "tvm_ffi" in sys.modules or "torch" in sys.modules:
        import tvm_ffi

        return tvm_ffi
    modules: dict[str, Any] = sys.modules
    modules["torch"] = None  # to the import system: there is none
    try:
        import tvm_ffi
    finally:
        del sys.modules["torch"]
    return tvm_ffi


def include_folders() -> list[str]:
    """Return the folders of the C headers that packed functions are written against."""
    runtime()
    from tvm_ffi import libinfo

    return sorted({libinfo.find_include_path(), libinfo.find_dlpack_include_path()})
