"""What a shell gets at ``%load_ext workbench``: the magic and the Tab key, and nothing else yet.

Loading must cost next to nothing, so the parser, the commands and the help page are imported when the first
``%mlops`` line is run, completed or asked about.
"""

from __future__ import annotations

from typing import Any, cast

from IPython.core.completer import CompletionContext, SimpleMatcherResult, context_matcher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class

NAME = "mlops"
RESULT = ("workbench.pipeline.result", "Result")
"""What the notebook shows with pictures; by name, so that nothing is imported for it."""


@magics_class
class MlopsMagics(Magics):
    """The magic of one shell."""

    @line_cell_magic
    def mlops(self, line: str, cell: str | None = None) -> Any:
        """Run one workbench command; ``%mlops --help`` lists them."""
        from .run import run

        __tracebackhide__ = True  # IPython leaves such a frame out of tracebacks
        return run(cast(InteractiveShell, self.shell), line, cell)


def _help_page() -> str:
    from .run import parsers

    return parsers()[0].format_help()


# IPython's own hook for documentation that is not a docstring.
setattr(MlopsMagics.mlops, "getdoc", _help_page)  # noqa: B010 - a function has no such attribute to mypy


def register(ip: InteractiveShell) -> None:
    """Put the magic and its completion into a shell; what an earlier call registered is replaced."""
    unregister(ip)
    ip.register_magics(MlopsMagics(ip))
    ip.Completer.custom_matchers.append(_matcher(ip))
    _formatter(ip).for_type_by_name(*RESULT, _view)


def unregister(ip: InteractiveShell) -> None:
    """Take them out again; does nothing in a shell without them."""
    for kind in ("line", "cell"):
        ip.magics_manager.magics[kind].pop(NAME, None)
    matchers = ip.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", "") != NAME]
    _formatter(ip).pop(".".join(RESULT), None)


def _formatter(ip: InteractiveShell) -> Any:
    display: Any = ip.display_formatter
    return display.mimebundle_formatter


def _view(result: Any) -> dict[str, str]:
    from ..widgets.views import mimebundle

    return mimebundle(result)


def _matcher(ip: InteractiveShell) -> Any:
    @context_matcher(identifier=NAME, priority=200)  # type: ignore[untyped-decorator]
    def mlops_matcher(context: CompletionContext) -> SimpleMatcherResult:
        if f"%{NAME}" not in context.text_until_cursor:
            return {"completions": []}
        from .completion import complete

        return complete(ip, context)

    return mlops_matcher
