"""Comparing what stands for a value gives a condition, in the IR's words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import InputError

if TYPE_CHECKING:
    from .trace import Value


@dataclass(frozen=True, eq=False)
class Condition:
    """Something that holds or not when the pipeline runs.

    Parameters
    ----------
    text
        In the IR's words, with ``{0}``, ``{1}`` for the values.
    values
        The values it reads.
    """

    text: str
    values: tuple[Value, ...]

    def __and__(self, other: Condition) -> Condition:
        return self._join("&&", other)

    def __or__(self, other: Condition) -> Condition:
        return self._join("||", other)

    def __invert__(self) -> Condition:
        return Condition(f"!({self.text})", self.values)

    def __bool__(self) -> bool:
        raise InputError(
            "whether this holds is known only when the pipeline runs",
            where=self.text,
            fix="write `with wb.when(condition):`, and join conditions with &, | and ~",
        )

    def _join(self, word: str, other: Condition) -> Condition:
        shift = len(self.values)
        moved = [f"{{{index + shift}}}" for index in range(len(other.values))]
        return Condition(f"({self.text}) {word} ({other.text.format(*moved)})", (*self.values, *other.values))


class Operand:
    """Comparisons of a value, which make conditions instead of answers."""

    def __lt__(self, other: Any) -> Condition:
        return _compare(self, "<", other)

    def __le__(self, other: Any) -> Condition:
        return _compare(self, "<=", other)

    def __gt__(self, other: Any) -> Condition:
        return _compare(self, ">", other)

    def __ge__(self, other: Any) -> Condition:
        return _compare(self, ">=", other)

    def equals(self, other: Any) -> Condition:
        """Return the condition that it equals another value (``==`` compares what stands for values)."""
        return _compare(self, "==", other)

    def differs(self, other: Any) -> Condition:
        """Return the condition that it does not equal another value."""
        return _compare(self, "!=", other)

    def __bool__(self) -> bool:
        raise InputError(
            "this value is known only when the pipeline runs",
            where="pipeline",
            fix="write `with wb.when(value.equals(True)):`",
        )

    def __iter__(self) -> Any:
        raise InputError(
            "how many items this has is known only when the pipeline runs",
            where="pipeline",
            fix="write `with wb.each(items) as item:` or STEP.map(items)",
        )


def _compare(left: Any, word: str, right: Any) -> Condition:
    values: list[Any] = []
    words = []
    for one in (left, right):
        if isinstance(one, Operand):
            words.append(f"{{{len(values)}}}")
            values.append(one)
        elif isinstance(one, str):
            words.append("'" + one.replace("\\", "\\\\").replace("'", "\\'") + "'")
        else:
            words.append(json.dumps(one))
    return Condition(f"{words[0]} {word} {words[1]}", tuple(values))
