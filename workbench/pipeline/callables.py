"""Functions from the notebook, carried to the process of a step.

A function that a fresh process can import crosses as ``module:qualname`` with the digest of its module's
source. Any other (defined in a notebook cell) crosses by value: cloudpickle bytes in a ``data`` artifact,
signed with the store's own key (HMAC-SHA256, RFC 2104). The signature is checked before a single byte is
unpickled. Processes that have another store (a Ray worker, a container) cannot check it, so the source goes along
as text wherever text says all there is to say; nothing is ever unpickled there.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ..atomic import write_bytes
from ..codec import register
from ..errors import CorruptArtifact, InputError, MissingInput
from ..store import ArtifactDraft, Store
from ..store.blobs import remove_tree

_BLOB, _SIGNATURE = "callable.pkl", "callable.sig"


@register("callable")
@dataclass(frozen=True)
class CallableReference:
    """A function that can be found again in another process.

    Parameters
    ----------
    target
        ``module:qualname``; for one that crosses by value only a label.
    fingerprint
        Digest of its code: of the module's source, or of the pickled function without file names and line
        numbers.
    blob
        Digest of the signed artifact, empty for an importable function.
    text
        Source that gives the function to a process without this store; empty where there is none.
    stays
        Why there is none.
    """

    target: str
    fingerprint: str
    blob: str = ""
    text: str = ""
    stays: str = ""

    @property
    def portable(self) -> CallableReference:
        """The same without the signed artifact, if a process elsewhere can do without."""
        return replace(self, blob="") if self.text else self


def send(store: Store, function: Callable[..., Any]) -> CallableReference:
    """Make a function available to other processes of this store.

    Raises
    ------
    InputError
        If it is not callable or holds something that cannot be pickled (a lock, an open file, ...).
    """
    if not callable(function):
        raise InputError(f"{function!r} cannot be called", where="function", fix="pass a function")
    if is_importable(function):
        return CallableReference(target_of(function), fingerprint_of(function))
    with _by_value(function):
        try:
            payload, plain = _dump(function, stable=False), _dump(function, stable=True)
        except Exception as error:
            raise InputError(
                f"{target_of(function)} cannot be sent to the step's process: {error}",
                where=target_of(function),
                fix="let it use plain data and tensors, or put it into a module",
            ) from error
    blob, (text, stays) = _store(store, payload), _source_text(function)
    return CallableReference(target_of(function), _digest(plain), blob, text, stays)


def receive(store: Store | None, reference: CallableReference) -> Callable[..., Any]:
    """Return the function a reference means.

    Raises
    ------
    CorruptArtifact
        If a blob is not signed by this store; nothing of it was unpickled.
    MissingInput
        If the module or the function is not there in this process.
    """
    if reference.text and not reference.blob:
        from .function_source import execute

        return execute(reference.target.rpartition(":")[2].rpartition(".")[2], reference.text)
    if reference.blob:
        if store is None:
            raise MissingInput(f"{reference.target} lies in a store that is not here", where=reference.target)
        return _unpickle(store, reference)
    module, _, path = reference.target.partition(":")
    try:
        value: Any = importlib.import_module(module)
        for part in path.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError) as error:
        raise MissingInput(
            f"{reference.target} cannot be imported: {error}", where=reference.target, fix="check PYTHONPATH"
        ) from error
    return value  # type: ignore[no-any-return]


def target_of(function: Callable[..., Any]) -> str:
    """Return ``module:qualname`` of a function."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or '__main__'}:{name}"


def is_importable(function: Callable[..., Any]) -> bool:
    """Return whether a fresh process would import this very function by its name."""
    module_name, _, path = target_of(function).partition(":")
    module = sys.modules.get(module_name)
    if module is None or not _importable(module):
        return False
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part, None)
    return value is function or getattr(value, "__wrapped__", None) is function


def fingerprint_of(function: Callable[..., Any]) -> str:
    """Return the digest of the module that an importable function lies in."""
    return _digest(_source(function))


def _source_text(function: Callable[..., Any]) -> tuple[str, str]:
    """Return the source of a notebook's function, or why there is none."""
    from .function_source import source_of

    if not hasattr(function, "__code__"):
        return "", f"it is a {type(function).__name__}, no function"
    try:
        return source_of(function).text, ""
    except InputError as error:
        return "", error.what


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _source(function: Callable[..., Any]) -> bytes:
    return Path(str(sys.modules[function.__module__].__file__)).read_bytes()


def _importable(module: ModuleType) -> bool:
    """Return whether a fresh process would import this very module: sys.modules alone does not say so."""
    origin, parent = getattr(module, "__file__", None), sys.modules.get(module.__name__.rpartition(".")[0])
    if origin is None or module.__name__ == "__main__":
        return False
    spec = PathFinder.find_spec(module.__name__, None if parent is None else list(parent.__path__))
    return spec is not None and spec.origin == origin


@contextlib.contextmanager
def _by_value(function: Callable[..., Any]) -> Iterator[None]:
    """Let cloudpickle carry the function's own module by value when a fresh process could not import it."""
    import cloudpickle

    module = sys.modules.get(getattr(function, "__module__", None) or "")
    if module is None or module.__name__ == "__main__" or _importable(module):
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _dump(function: Callable[..., Any], *, stable: bool) -> bytes:
    """Return the pickled function; `stable` leaves out where in a cell it stands."""
    import cloudpickle

    buffer = io.BytesIO()
    (_placeless(cloudpickle.Pickler) if stable else cloudpickle.Pickler)(buffer).dump(function)
    return buffer.getvalue()


def _placeless(pickler: Any) -> Any:
    """Return a pickler class that writes code without file names and line numbers."""
    reduce_code = pickler.dispatch_table[CodeType]

    def reduce(code: CodeType) -> Any:
        return reduce_code(code.replace(co_filename="", co_firstlineno=1, co_linetable=b""))

    return type(
        "Placeless", (pickler,), {"dispatch_table": pickler.dispatch_table.new_child({CodeType: reduce})}
    )


def _store(store: Store, payload: bytes) -> str:
    scratch = store.scratch()
    try:
        write_bytes(scratch / _BLOB, payload)
        write_bytes(scratch / _SIGNATURE, _sign(store, payload))
        return store.artifacts.put(ArtifactDraft("data", scratch))
    finally:
        remove_tree(scratch)


def _sign(store: Store, payload: bytes) -> bytes:
    return hmac.digest(store.key(), b"workbench callable\0" + payload, "sha256")


def _unpickle(store: Store, reference: CallableReference) -> Callable[..., Any]:
    store.artifacts.verify(reference.blob)
    folder = store.artifacts.path(reference.blob)
    try:
        payload, signature = (folder / _BLOB).read_bytes(), (folder / _SIGNATURE).read_bytes()
    except OSError as error:
        raise CorruptArtifact("the artifact holds no function", where=reference.blob) from error
    if not hmac.compare_digest(signature, _sign(store, payload)):
        raise CorruptArtifact(
            f"{reference.target} is not signed by this store; it was not opened",
            where=reference.blob,
            fix="run the cell again so that this store signs the function",
        )
    import pickle

    try:
        return pickle.loads(payload)  # type: ignore[no-any-return]  # noqa: S301 - signed by this store
    except (ImportError, AttributeError) as error:
        raise MissingInput(
            f"{reference.target} needs something the step's process cannot import: {error}",
            where=reference.target,
            fix="put what it needs into an importable module or into the notebook",
        ) from error
