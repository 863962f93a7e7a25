"""One model of a comparison: its program, what runs it, and what is known of each of its layers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...compile import CompileConfig
from ...errors import InputError
from ...program import PROGRAM_FILE, Examples, read_examples, read_program, read_signature, write_program
from ...store import Store
from ..naming import compiled_of
from ..recipe import loads, tagged
from .taps import layered, tapped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

_ANY_ERROR = 1e30
"""The tolerance of a program that is compiled to be looked into: how far it is off is what is asked."""


@dataclass
class LayeredModel:
    """One of the models compared.

    Parameters
    ----------
    name
        As the user typed it.
    program
        The folder of the program, or of the variant.
    compiled
        The folder that is timed; None for a program, which runs in torch eager.
    config
        How it was compiled.
    layers
        Paths of its layers, in order.
    sizes
        Bytes of each layer's weights, as the program holds them.
    owners
        The layer of every module that has operators of its own.
    paths
        The layer of every value, by the value's name in the graph.
    results
        The layer that gives an output, by the output's name.
    """

    name: str
    program: Path
    compiled: Path | None
    config: CompileConfig
    layers: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)

    @property
    def quantized(self) -> bool:
        """Whether its numbers are on grids."""
        from ...compile.source import QUANTIZATION_FILE

        return (self.program / QUANTIZATION_FILE).exists()

    def values(self, wanted: list[str], feeds: Mapping[str, Array]) -> dict[str, np.ndarray[Any, Any]]:
        """Return the output of each layer: the program gives them too, compiled by the same backend.

        Raises
        ------
        CompileError, MissingDependency
            As its backend does.
        """
        from ...compile import compile_program, load, reference

        signature = read_signature(self.program)
        program, taken, names = tapped(layered(read_program(self.program)), wanted, signature)
        with tempfile.TemporaryDirectory(prefix="layers-") as folder:
            source, out = Path(folder) / "program", Path(folder) / "compiled"
            source.mkdir()
            out.mkdir()
            write_program(source, program, taken, Examples(feeds, {}))
            given = reference(source, self.config.threads).run(feeds)
            if self.compiled is not None:
                write_program(source, program, taken, Examples(feeds, given))
                loose = replace(self.config, tolerance_abs=_ANY_ERROR)
                compile_program(source, out, loose)
                given = load(out, self.config.threads).run(feeds)
        return {path: given[name] for path, name in names.items()}


def model_of(store: Store, name: str) -> LayeredModel:
    """Return what a name means to a comparison by layer.

    Raises
    ------
    UnknownArtifact
        If nothing has the name.
    InputError
        If it is no model, came as an ONNX file, or was compiled for another machine.
    """
    digest = store.names.resolve(name)
    manifest = store.artifacts.manifest(digest)
    compiled, config = None, CompileConfig("eager")
    if manifest.kind not in ("program", "variant"):
        digest = compiled_of(store, name)
        manifest = store.artifacts.manifest(digest)
        compiled, config = store.artifacts.path(digest), _config(manifest.step)
        digest = manifest.parents[0]
    program = store.artifacts.path(digest)
    if not (program / PROGRAM_FILE).is_file():
        raise InputError(
            f"{name} was captured from an ONNX file, which has no modules",
            where="compare, layers",
            fix="capture the torch module, or compare without --layers",
        )
    if config.target:
        raise InputError(
            f"{name} was compiled for {config.target}",
            where="compare, layers",
            fix="compile it for this machine",
        )
    model = LayeredModel(name, program, compiled, config)
    layers = layered(read_program(program))
    model.layers = list(layers.outputs)
    results = zip(layers.editor.results, read_signature(program).outputs, strict=True)
    model.results = {
        spec.name: layers.paths[node.name] for node, spec in results if node.name in layers.paths
    }
    model.owners, model.paths = layers.owners, layers.paths
    model.sizes = _sizes(layers)
    return model


def _config(step: Mapping[str, Any]) -> CompileConfig:
    made: Any = loads(json.dumps(tagged(dict(step))))
    config: CompileConfig = made.config
    return config


def _sizes(layers: Any) -> dict[str, int]:
    """Return bytes of weights by the layer that reads them first."""
    sizes: dict[str, int] = {}
    counted: set[str] = set()
    for node in layers.editor.graph.nodes:
        if node.op != "call_function":
            continue
        for held in node.all_input_nodes:
            value = layers.editor.tensor(held)
            if value is not None and held.name not in counted:
                counted.add(held.name)
                path = layers.paths[node.name]
                sizes[path] = sizes.get(path, 0) + value.numel() * value.element_size()
    return sizes


def common_feeds(models: list[LayeredModel]) -> Mapping[str, Array]:
    """Return the captured inputs of the first model.

    Raises
    ------
    InputError
        If another takes other inputs.
    """
    first = read_signature(models[0].program).inputs
    for other in models[1:]:
        takes = read_signature(other.program).inputs
        if [(s.name, s.dtype, len(s.shape)) for s in takes] != [
            (s.name, s.dtype, len(s.shape)) for s in first
        ]:
            raise InputError(
                f"{other.name} takes other inputs than {models[0].name}",
                where="compare, layers",
                fix="compare what comes from one program",
            )
    return read_examples(models[0].program).inputs
