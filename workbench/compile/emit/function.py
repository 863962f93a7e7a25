"""One C function of the generated code, and the call of it: an operator, or a chain fused into one loop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import sympy

from .sizes import c
from .tensors import C_TYPES, Buffer, Tensor


@dataclass
class Function:
    """A C function under construction.

    Parameters
    ----------
    name
        Says where in the model it comes from: ``op3_encoder_linear1``.
    comment
        What it computes, for whoever reads the C.
    """

    name: str
    comment: str
    arguments: list[tuple[str, Tensor]] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    symbols: set[str] = field(default_factory=set)
    body: list[str] = field(default_factory=list)
    written: set[Buffer] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)
    _depth: int = 1

    @property
    def buffers(self) -> list[Buffer]:
        """What it reads and writes."""
        return [tensor.buffer for _, tensor in self.arguments]

    def read(self, tensor: Tensor, name: str) -> str:
        """Add an input; return the C name of the pointer to its first element."""
        for known, other in self.arguments:
            if other is tensor and other.buffer not in self.written:
                return known
        return self._argument(tensor, name, f"const {C_TYPES[tensor.dtype]} *restrict")

    def write(self, tensor: Tensor, name: str = "y") -> str:
        """Add an output; return the C name of the pointer to its first element."""
        self.written.add(tensor.buffer)
        return self._argument(tensor, name, f"{C_TYPES[tensor.dtype]} *restrict")

    def _argument(self, tensor: Tensor, name: str, kind: str) -> str:
        taken = {known for known, _ in self.arguments}
        name = next(n for n in (name, *(f"{name}{i}" for i in range(2, 99))) if n not in taken)
        self.arguments.append((name, tensor))
        self.parameters.append(f"{kind} {name}")
        return name

    def size(self, expression: sympy.Expr | int) -> str:
        """Return a size as C, in parentheses where it needs them, and take what it depends on as parameters."""
        text = c(sympy.sympify(expression))
        self.symbols |= {str(symbol) for symbol in sympy.sympify(expression).free_symbols}
        return text if re.fullmatch(r"\w+|\w*\(.*\)", text) else f"({text})"

    def line(self, text: str) -> None:
        """Add a line of C."""
        self.body.append("    " * self._depth + text)

    def call(self, function: str, *arguments: object) -> None:
        """Add a call; sizes among the arguments may be expressions."""
        words = [self.size(a) if isinstance(a, sympy.Expr) else str(a) for a in arguments]
        self.line(f"{function}({', '.join(words)});")

    @contextmanager
    def loop(self, index: str, count: sympy.Expr | int) -> Iterator[None]:
        """Open a loop over ``0 .. count - 1`` around the lines added inside."""
        self.line(f"for (int64_t {index} = 0; {index} < {self.size(count)}; ++{index}) {{")
        self._depth += 1
        yield
        self._depth -= 1
        self.line("}")

    def definition(self) -> str:
        """Return the function as C."""
        sizes = [f"int64_t {name}" for name in sorted(self.symbols)]
        parameters = ", ".join([*self.parameters, *sizes]) or "void"
        lines = "\n".join(self.body)
        return f"/* {self.comment} */\nOPERATOR void {self.name}({parameters}) {{\n{lines}\n}}\n"
