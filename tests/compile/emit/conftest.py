"""Compile a small module to C in one line."""

import pytest

from tests.compile.emit.models import MODELS, ternary_variant
from workbench.capture import capture_module
from workbench.compile import CompileConfig, compile_program, load


@pytest.fixture
def build_c(tmp_path):
    """Return a function: module and inputs to the compiled folder; it was compared with eager on the way."""

    def build(module, inputs, target="host", dynamic="auto", **tolerance):
        program, out = tmp_path / "program", tmp_path / target
        if not program.exists():
            program.mkdir()
            capture_module(module.eval(), inputs, program, dynamic=dynamic)
        out.mkdir()
        compile_program(program, out, CompileConfig("ternary", target=target, **tolerance))
        return out

    return build


@pytest.fixture
def session(build_c):
    """Return a function: module and inputs to a session of the compiled model."""
    return lambda *args, **options: load(build_c(*args, **options))


@pytest.fixture(scope="session")
def ternary_models(tmp_path_factory):
    """Return by name: the folder of a ternary variant, of what it compiled to for this machine, and the report."""

    def make(name):
        folder = tmp_path_factory.mktemp(name)
        variant, out = ternary_variant(folder, name), folder / "host"
        out.mkdir()
        return variant, out, compile_program(variant, out, CompileConfig("ternary"))

    return {name: make(name) for name in MODELS}
