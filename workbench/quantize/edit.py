"""Rewrite a captured program in place of tracing it again: names, signature and dynamic sizes stay.

An :class:`torch.export.ExportedProgram` is a graph whose parameters are its first inputs. :class:`Editor`
keeps the graph and that list of inputs in step while passes add int8 buffers and replace operators::

    editor = Editor(program)
    q = editor.buffer("fc.weight_q", q_tensor)
    node = editor.call_before(fc, torch.ops.workbench.linear_dynamic.default, (x, q, scale, bias))
    editor.replace(fc, node)
    program = editor.finish()

The tensors are shared with the original program, never copied.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.fx import Node
from torch.fx.node import map_arg

_STATE = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


class Editor:
    """A program being rewritten.

    Parameters
    ----------
    program
        Left untouched.
    """

    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self.module = copy.deepcopy(program.graph_module)
        self.graph = self.module.graph
        self._specs = {_name(s): s for s in program.graph_signature.input_specs}
        for node, name in zip(self._placeholders(), self._specs, strict=True):
            node.name = name  # the copy renames one called like a builtin, such as "input"
        self._state: dict[str, Any] = dict(program.state_dict)
        self._constants: dict[str, Any] = dict(program.constants)
        self._further: list[Node] = []

    @property
    def results(self) -> list[Node]:
        """What the program gives: its own outputs, in order."""
        return [node for node in self.graph.output_node().args[0] if isinstance(node, Node)]

    @property
    def user_inputs(self) -> list[Node]:
        """The placeholders that a caller fills, in order."""
        return [n for n in self._placeholders() if self._specs[n.name].kind == InputKind.USER_INPUT]

    def tensor(self, node: object) -> Tensor | None:
        """Return the parameter, buffer or constant behind a placeholder, or None for anything else."""
        if not isinstance(node, Node) or node.op != "placeholder":
            return None
        spec = self._specs[node.name]
        if spec.kind not in _STATE or spec.target is None:
            return None
        value = self._state.get(spec.target, self._constants.get(spec.target))
        return value if isinstance(value, Tensor) else None

    def set_tensor(self, node: Node, value: Tensor) -> None:
        """Give a parameter, buffer or constant a new value of the same shape."""
        target = str(self._specs[node.name].target)
        store = self._state if target in self._state else self._constants
        is_parameter = isinstance(store[target], torch.nn.Parameter)
        store[target] = torch.nn.Parameter(value, requires_grad=False) if is_parameter else value

    def resize(self, node: Node, value: Tensor) -> None:
        """Give a parameter, buffer or constant a value of another shape; :meth:`infer_shapes` must follow."""
        self.set_tensor(node, value)
        node.meta["val"] = self._fake_mode().from_tensor(value, static_shapes=True)

    def infer_shapes(self) -> None:
        """Work out the shape of every value anew, after parameters have changed theirs."""
        with self._fake_mode():
            for node in self.graph.nodes:
                if node.op == "call_function" and "val" in node.meta:
                    args, kwargs = map_arg((node.args, dict(node.kwargs)), lambda n: n.meta["val"])
                    node.meta["val"] = node.target(*args, **kwargs)

    def target(self, node: Node) -> str:
        """Return the name in the state dict of the tensor behind a placeholder."""
        return str(self._specs[node.name].target)

    def state(self) -> dict[str, Tensor]:
        """Return all parameters and persistent buffers by name."""
        return {name: value for name, value in self._state.items() if isinstance(value, Tensor)}

    def parameters(self) -> dict[str, int]:
        """Return the element count of each parameter."""
        return {
            str(s.target): self._state[str(s.target)].numel()
            for s in self._specs.values()
            if s.kind == InputKind.PARAMETER
        }

    def feeds(self, inputs: list[Tensor]) -> list[Any]:
        """Return the full argument list of the graph for given user inputs."""
        given = iter(inputs)
        return [
            next(given)
            if (spec := self._specs[n.name]).kind == InputKind.USER_INPUT
            else self._state.get(str(spec.target), self._constants.get(str(spec.target)))
            for n in self._placeholders()
        ]

    def buffer(self, target: str, value: Tensor) -> Node:
        """Add a persistent buffer and return its placeholder."""
        name = "b_" + target.replace(".", "_")
        with self.graph.inserting_before(self.user_inputs[0] if self.user_inputs else None):
            node: Node = self.graph.placeholder(name)
        node.meta["val"] = self._fake_mode().from_tensor(value, static_shapes=True)
        self._specs[node.name] = InputSpec(
            InputKind.BUFFER, TensorArgument(node.name), target, persistent=True
        )
        self._state[target] = value.contiguous()
        return node

    def call_before(self, anchor: Node, op: Callable[..., Any], args: tuple[Any, ...]) -> Node:
        """Insert a call before `anchor`, with the shape worked out and the place in the source kept."""
        with self.graph.inserting_before(anchor):
            return self._call(anchor, op, args)

    def call_after(self, anchor: Node, op: Callable[..., Any], args: tuple[Any, ...]) -> Node:
        """Insert a call after `anchor` (after all placeholders when it is one)."""
        last = self._placeholders()[-1] if anchor.op == "placeholder" else anchor
        with self.graph.inserting_after(last):
            return self._call(anchor, op, args)

    def _call(self, anchor: Node, op: Callable[..., Any], args: tuple[Any, ...]) -> Node:
        node: Node = self.graph.call_function(op, args)
        node.meta.update({k: v for k, v in anchor.meta.items() if k in ("nn_module_stack", "stack_trace")})
        if op is anchor.target:  # the same operator on other weights: the same shapes
            node.meta["val"] = anchor.meta["val"]
        else:
            with self._fake_mode():
                node.meta["val"] = op(*(a.meta["val"] if isinstance(a, Node) else a for a in args))
        return node

    def replace(self, old: Node, new: Node) -> None:
        """Let every user of `old` read `new`, and remove `old`."""
        old.replace_all_uses_with(new)
        self.graph.erase_node(old)

    def also_return(self, nodes: list[Node]) -> None:
        """Let the program give these values too, after its own outputs, which then come as one flat tuple."""
        output = self.graph.output_node()
        results = output.args[0]
        assert isinstance(results, tuple | list)
        output.args = ((*results, *nodes),)
        self._further += nodes

    def finish(self) -> ExportedProgram:
        """Drop what nothing reads any more and return the rewritten program.

        Parameters that no operator reads go too: that is where the memory is saved.
        """
        self.graph.eliminate_dead_code()
        for node in self._placeholders():
            spec = self._specs[node.name]
            if spec.kind in _STATE and not node.users:
                self.graph.erase_node(node)
                self._state.pop(str(spec.target), None)
                self._constants.pop(str(spec.target), None)
        self.graph.lint()
        self.module.recompile()
        specs = [self._specs[n.name] for n in self._placeholders()]
        signature = ExportGraphSignature(specs, self._output_specs())
        used = {str(s.target) for s in specs if s.kind in _STATE}
        return ExportedProgram(
            root=self.module,
            graph=self.graph,
            graph_signature=signature,
            state_dict={k: v for k, v in self._state.items() if k in used},
            range_constraints=self._program.range_constraints,
            module_call_graph=self._call_graph(signature),
            example_inputs=self._program.example_inputs,
            constants=self._constants,
        )

    def _output_specs(self) -> list[OutputSpec]:
        """Return the outputs by the names of the nodes that give them now: the last layer may be replaced."""
        results = self.graph.output_node().args[0]
        assert isinstance(results, tuple | list)
        more = [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(n.name), None) for n in self._further]
        return [
            dataclasses.replace(spec, arg=TensorArgument(result.name))
            if isinstance(result, Node) and isinstance(spec.arg, TensorArgument)
            else spec
            for spec, result in zip(
                [*self._program.graph_signature.output_specs, *more], results, strict=True
            )
        ]

    def _call_graph(self, signature: ExportGraphSignature) -> list[Any]:
        """Return how the program is called: as before, unless it gives more than it did."""
        graph: list[Any] = self._program.module_call_graph
        if not self._further:
            return graph
        from torch.utils import _pytree as pytree

        whole = graph[0].signature
        assert whole is not None, "a captured program says how it is called"
        arguments = [spec.arg for spec in signature.output_specs]
        flat = pytree.tree_structure((0,) * len(arguments))
        return [
            dataclasses.replace(
                graph[0], signature=dataclasses.replace(whole, outputs=arguments, out_spec=flat)
            ),
            *graph[1:],
        ]

    def _placeholders(self) -> list[Node]:
        return [n for n in self.graph.nodes if n.op == "placeholder"]

    def _fake_mode(self) -> Any:
        for node in self.graph.nodes:
            value = node.meta.get("val")
            if isinstance(value, torch._subclasses.FakeTensor):
                return value.fake_mode
        raise AssertionError("a captured program has tensors")


def _name(spec: InputSpec) -> str:
    return str(getattr(spec.arg, "name", ""))
