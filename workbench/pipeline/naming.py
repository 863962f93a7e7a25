"""What the outputs of verbs are called, and which artifact a name means to a verb.

::

    capture --name minilm               minilm
    quantize minilm --scheme int8       minilm:int8
    compile minilm:int8                 minilm:int8/onnxruntime
    compile minilm                      minilm/onnxruntime
    prune minilm                        minilm-pruned
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import InputError, UnknownArtifact
from ..store import ArtifactName, Store


def name_of(store: Store, text: str) -> ArtifactName:
    """Return the name behind what a user typed, without alias or exact version.

    Raises
    ------
    InputError
        If it is a digest that has no name.
    """
    if text.startswith("sha256:"):
        names = [name for name in store.names.of(store.names.resolve(text)) if "@" not in name]
        if not names:
            raise InputError("the artifact has no name to build on", where=text, fix="give --name NAME")
        text = names[0]
    return replace(ArtifactName.parse(text), alias="", digest="")


def variant_name(store: Store, text: str, scheme: str) -> str:
    """Return what quantizing an artifact makes: ``minilm`` to ``minilm:int8``."""
    return str(ArtifactName(name_of(store, text).base, variant=scheme))


def pruned_name(store: Store, text: str) -> str:
    """Return what pruning a program makes: ``minilm`` to ``minilm-pruned``, a program like any other."""
    return f"{name_of(store, text).base}-pruned"


def compiled_name(store: Store, text: str, backend: str) -> str:
    """Return what compiling an artifact makes: ``minilm:int8`` to ``minilm:int8/onnxruntime``."""
    return str(replace(name_of(store, text), backend=backend))


def compiled_of(store: Store, text: str) -> str:
    """Return the compiled artifact a name means: itself, or what was compiled from it last.

    Raises
    ------
    UnknownArtifact
        If it was never compiled; the error has the line to type.
    """
    digest = store.names.resolve(text)
    kind = store.artifacts.manifest(digest).kind
    if kind == "compiled":
        return digest
    if kind == "package":
        return store.artifacts.manifest(digest).parents[0]
    made = store.children(digest, "compiled")
    if not made:
        raise UnknownArtifact(
            f"{text} has not been compiled", where=text, fix=f"%mlops compile {text} --backend onnxruntime"
        )
    return made[0]


def as_name(text: str) -> str:
    """Return a text as a valid base name: ``train.py:Encoder`` to ``train.py-Encoder``.

    Examples
    --------
    >>> as_name("shop.models:encoder")
    'shop.models-encoder'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-_.") or "model"
