"""Run the body of a ``%%mlops`` cell in the notebook's namespace.

Not ``shell.run_cell``: that shows the traceback itself, so an error that is raised again would show twice,
and its line numbers start at the body. Here an error propagates once, and line 2 of a traceback or of a
profile is line 2 of the cell as the user sees it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def run(shell: InteractiveShell, body: str, names: Mapping[str, Any]) -> list[CodeType]:
    """Run the body of a cell with `names` added to the notebook's variables; they stay afterwards.

    The last expression is displayed, as in any cell. Whatever the body raises propagates.

    Returns
    -------
    list of code
        What was run. Hold on to it as long as a profile may still look for its lines: freed code has none.
    """
    source = "\n" + str(shell.transform_cell(body))  # type: ignore[no-untyped-call]  # the magic's own line is line 1
    # The shell has counted on already: the cell that is running carries the number before.
    file = shell.compile.cache(source, shell.execution_count - 1, raw_code="\n" + body)
    shell.user_ns.update(names)
    units = _compiled(shell, source, file)
    for code in units:
        exec(code, shell.user_global_ns, shell.user_ns)  # noqa: S102 - running the user's cell is the job
    return units


def users_part(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback from the cell's own lines on; None where no cell was running."""
    current = traceback
    while current is not None and current.tb_frame.f_code is not run.__code__:
        current = current.tb_next
    return None if current is None else current.tb_next


def _compiled(shell: InteractiveShell, source: str, file: str) -> list[CodeType]:
    """Return the statements, and the last expression (if the cell ends in one) as its own displayed unit."""
    tree: Any = shell.compile.ast_parse(source, file)
    for transformer in shell.ast_transformers:
        tree = transformer.visit(tree)
    compiled: Any = shell.compile  # keeps the __future__ imports of earlier cells
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    units = [compiled(tree, file, "exec")]
    if last is not None:
        units.append(compiled(ast.Interactive([last]), file, "single"))
    return units
