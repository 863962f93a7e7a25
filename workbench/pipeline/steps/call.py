"""The step ``call``: run a function of the user's; what it returns becomes a data artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ...codec import register
from .. import data
from ..callables import CallableReference
from ..context import StepContext
from ..recipe import step_body
from ..result import StepResult


@register("call_step")
@dataclass(frozen=True)
class CallStep:
    """Call a function in a process of its own.

    Parameters
    ----------
    function
        Called with `argument`, if there is one.
    argument
        Digest or name of a data artifact, or ``step:N``.
    name
        What to call the result.
    """

    verb: ClassVar[str] = "call"
    inputs: ClassVar[tuple[str, ...]] = ("argument",)
    code: ClassVar[tuple[str, ...]] = ("pipeline/steps/call.py", "pipeline/data.py", "pipeline/callables.py")

    function: CallableReference
    argument: str = ""
    name: str = ""


@step_body(CallStep)
def call(step: CallStep, context: StepContext) -> StepResult:
    """Call the function and store what it returns."""
    function = context.function(step.function)
    value: Any = function(context.data(step.argument)) if step.argument else function()
    folder = context.folder()
    data.write(value, folder)
    return StepResult(context.put("data", folder, parents=(step.argument,) if step.argument else ()))
