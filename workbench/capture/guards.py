"""Find sizes that torch.export calls dynamic although they cannot change on their own.

``Flatten`` before ``Linear(512, 10)`` leaves height and width symbolic under the guard
``8*H*W == 512``: no other height fits this width. A signature that called them dynamic would promise
sizes that fail. Each symbol is tried one above and one below its example size; where both break a guard,
it is entangled and should be captured as fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any

from .inputs import BoundInputs

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Shapes = list[list[int]]
Place = tuple[int, int]
"""An input's index and a position in its shape."""


def find_entangled(program: ExportedProgram, bound: BoundInputs) -> list[tuple[str, int]]:
    """Return input and position of the symbolic sizes that no neighbouring size can replace."""
    guards = [compile(text, "<guard>", "eval") for text in program._guards_code]
    values = {n.name: n.meta["val"] for n in program.graph.nodes if n.op == "placeholder"}
    takes = [values[str(name)].shape for name in program.graph_signature.user_inputs]
    now = [[int(s) if isinstance(s, int) else int(s.node.hint) for s in shape] for shape in takes]
    names = list(bound.tensors)
    entangled: list[tuple[str, int]] = []
    for places in _symbols(takes).values():
        if not any(_holds(guards, bound, _moved(now, places, step)) for step in (1, -1)):
            entangled += [(names[index], position) for index, position in places]
    return entangled


def _symbols(takes: list[Any]) -> dict[str, list[Place]]:
    """Return where each symbol stands."""
    found: dict[str, list[Place]] = {}
    for index, shape in enumerate(takes):
        for position, size in enumerate(shape):
            if not isinstance(size, int) and size.node.expr.is_symbol:
                found.setdefault(str(size.node.expr), []).append((index, position))
    return found


def _moved(now: Shapes, places: list[Place], step: int) -> Shapes:
    sizes = [list(shape) for shape in now]
    for index, position in places:
        sizes[index][position] += step
    return sizes


@dataclass(frozen=True)
class _Sized:
    """Stands for a tensor in a guard, which asks only for ``.size()``."""

    shape: list[int]

    def size(self) -> list[int]:
        return self.shape


def _holds(guards: list[CodeType], bound: BoundInputs, sizes: Shapes) -> bool:
    """Evaluate the guards, Python that torch wrote over ``L['name'].size()``, for other sizes."""
    from torch.utils import _pytree as pytree

    tree = pytree.tree_structure(dict(bound.arguments))
    scope = {"L": pytree.tree_unflatten([_Sized(shape) for shape in sizes], tree)}
    return all(_is_true(guard, scope) for guard in guards)


def _is_true(guard: CodeType, scope: dict[str, Any]) -> bool:
    try:
        return bool(eval(guard, scope))  # noqa: S307 - the text comes from torch in this process, not from a file
    except (NameError, KeyError, AttributeError, TypeError):
        return True  # about something else than sizes
