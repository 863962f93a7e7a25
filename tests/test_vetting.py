"""What a program's text may hold, and each way to smuggle code into it."""

import copy
import json
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.networks import build
from workbench import archive
from workbench.errors import CorruptArtifact
from workbench.vetting import vet


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    module, inputs = build("attention")
    auto = torch.export.Dim.AUTO
    program = torch.export.export(module.eval(), (inputs,), dynamic_shapes=({0: auto, 1: auto},))
    path = tmp_path_factory.mktemp("vetting") / "program.pt2"
    archive.save(program, path)
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read("program/models/model.json"))


@pytest.fixture
def program(text):
    return copy.deepcopy(text)


def nodes(program):
    return program["graph_module"]["graph"]["nodes"]


def test_a_captured_program_passes(program):
    assert vet(program, "here") == {"aten", "_operator"}


@pytest.mark.parametrize(
    "target",
    ["torch.os.system", "torch.hub.load", "torch.ops.load_library", "torch.ops.aten.__init__.x",
     "torch.ops.aten.__dict__.clear", "torch.ops.aten.name.upper", "os.system",
     "_operator.methodcaller", "_operator.attrgetter", "math.__loader__", "#any:thing", "torch.ops.evil.op.x",
     "torch.ops.aten.add.Tensor.__class__", "", 5, None],
)  # fmt: skip
def test_operators(program, target):
    nodes(program)[0]["target"] = target
    with pytest.raises(CorruptArtifact, match="refused to load the operator") as caught:
        vet(program, "here")
    assert caught.value.where == "here"


EVIL = [
    "__import__('os').system('true')",
    "(lambda: 0)()",
    "Symbol.__class__",
    "[].append",
    "open('f')",
    "Symbol('a b')",
    "Symbol('__import__')",
    "Integer(*[1])",
    "Function('f')(1)",
    "eval('1')",
    "1 if 1 else 2",
    "s0; s1",
    "f'{1}'",
    "(1).real",
    "'x' * 9",
    5,
    None,
]


@pytest.mark.parametrize("expression", EVIL[:-3] + EVIL[-2:])
def test_size_expressions(program, expression):
    plant = {"as_expr": {"expr_str": expression, "hint": None}}
    program["graph_module"]["graph"]["sym_int_values"]["x"] = plant
    with pytest.raises(CorruptArtifact, match="refused to load the size expression"):
        vet(program, "here")


@given(st.text(max_size=40))
def test_no_expression_that_passes_can_reach_an_attribute(expression):
    program = {"guards_code": [], "graph_module": {"expr_str": expression}}
    try:
        vet(program, "here")
    except CorruptArtifact:
        return
    assert "__" not in expression
    assert "lambda" not in expression


@pytest.mark.parametrize("name", ["x); import os; (", "a.b", "", "1x", "x\ny", 7])
def test_names_that_are_pasted_into_code(program, name):
    nodes(program)[0]["outputs"] = [{"as_tensor": {"name": name}}]
    if name == "":
        assert vet(program, "here")  # torch writes empty names for unused values
        return
    with pytest.raises(CorruptArtifact, match="refused to load the value name"):
        vet(program, "here")


def test_argument_names_of_forward(program):
    program["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = ["x=print()"]
    with pytest.raises(CorruptArtifact, match="the value name"):
        vet(program, "here")


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ('[1, {"type": "collections.namedtuple", "context": "x", "children_spec": []}]', "the container"),
        ('[1, {"type": "some.Module", "context": null, "children_spec": []}]', "the container"),
        (
            '[1, {"type": "builtins.dict", "context": "{\\"__enum__\\": 1}", "children_spec": []}]',
            "importing",
        ),
    ],
)
def test_tree_specs(program, spec, what):
    program["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = spec
    with pytest.raises(CorruptArtifact, match=f"refused to load .*{what}"):
        vet(program, "here")


def test_guards_named_tuples_and_objects(program):
    with pytest.raises(CorruptArtifact, match="guard code"):
        vet({**program, "guards_code": ["print()"]}, "here")
    with pytest.raises(CorruptArtifact, match="guard code"):
        vet([], "here")
    nodes(program)[0]["inputs"][0]["arg"] = {"as_custom_obj": {"name": "x", "class_fqn": "y"}}
    with pytest.raises(CorruptArtifact, match="a pickled object"):
        vet(program, "here")


def test_operators_hidden_in_the_signature(program):
    inner = {"graph": {"nodes": [{"target": "torch.os.system", "inputs": [], "metadata": {}}]}}
    program["graph_module"]["signature"]["hidden"] = {"as_graph": inner}
    with pytest.raises(CorruptArtifact, match=r"the operator 'torch.os.system'"):
        vet(program, "here")
