"""From an unpacked compiled folder to a model that has answered once.

The loader comes by name (``package.module:function``), because a server may not import the verb that
compiles; it is called as ``loader(folder, threads=n)`` and returns a :class:`~workbench.session.Session`.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import program
from ..errors import CorruptArtifact, MissingInput, ServeError, WorkbenchError
from ..session import Session, check_feeds
from . import batching
from .model import ServedModel

DEFAULT_LOADER = "workbench.compile:load"
_FORMATS = ("model.*", "program.*")


def load(folder: Path, *, name: str, version: str, loader: str, threads: int) -> ServedModel:
    """Load the model in `folder`.

    Raises
    ------
    MissingInput
        If the folder or the loader is not there.
    CorruptArtifact
        If a file of the folder is missing or cannot be read.
    ServeError
        If the loader fails in a way it does not explain itself.
    """
    if not folder.is_dir():
        raise MissingInput("no such bundle", where=str(folder), fix="unpack the package first")
    signature = program.read_signature(folder)
    backend = _read_backend(folder / "backend.json")
    session = _call(_resolve(loader), folder, threads)
    if session.signature != signature:
        raise CorruptArtifact("the loaded model has another signature than the bundle", where=str(folder))
    return ServedModel(name, version, session, platform=f"{backend}_{_format(folder)}")


def measure_batches(model: ServedModel, folder: Path, most: int) -> ServedModel:
    """Return the model with the measured cost of batches of up to `most` rows.

    Raises
    ------
    InputError
        If its answers to several requests at once are not the answers to each.
    """
    examples = program.read_examples(folder).inputs
    return replace(model, costs=batching.measure(model.session.signature, model.run, examples, most))


def warm_up(model: ServedModel, folder: Path) -> float:
    """Run the captured examples once and return the milliseconds it took.

    Raises
    ------
    CorruptArtifact
        If the examples are missing, unreadable or do not fit the signature.
    ServeError
        If the model cannot answer them.
    """
    feeds = program.read_examples(folder).inputs
    try:
        check_feeds(model.session.signature, feeds, where=program.EXAMPLES_FILE)
    except WorkbenchError as error:
        raise CorruptArtifact(error.what, where=error.where, fix="capture and compile it again") from error
    start = time.perf_counter()
    model.run(feeds)
    return (time.perf_counter() - start) * 1e3


def _read_backend(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["backend"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(
            f"the backend's name cannot be read: {error}", where=str(path), fix="unpack the package again"
        ) from error


def _format(folder: Path) -> str:
    found = sorted(path.suffix[1:] for pattern in _FORMATS for path in folder.glob(pattern))
    return found[0] if found else "custom"


def _resolve(loader: str) -> Callable[..., Any]:
    module, _, name = loader.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise MissingInput(
            f"the loader {loader!r} cannot be imported: {error}",
            where="--loader",
            fix="package.module:function",
        ) from error
    return function  # type: ignore[no-any-return]


def _call(loader: Callable[..., Any], folder: Path, threads: int) -> Session:
    try:
        session = loader(folder, threads=threads)
    except WorkbenchError:
        raise
    except Exception as error:
        raise ServeError(
            f"the model cannot be loaded: {type(error).__name__}: {error}",
            where=str(folder),
            fix="compile it again",
        ) from error
    if not isinstance(session, Session):
        raise ServeError(f"the loader gave a {type(session).__name__}, not a Session", where="--loader")
    return session
