"""From a recipe to what a verb answers: run it, or print it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from .. import codec
from ..store import Store
from ..store.names import check_given
from .driving import Listener
from .executors.choose import CLUSTER, kind_of
from .executors.cluster import give
from .executors.executor import Executor
from .recipe import Recipe, loads, recipe_of
from .result import Result, table_of
from .run import Run
from .walk.driver import PipelineRun
from .walk.outcome import pipeline_result
from .walk.recipe import compiled


@dataclass(frozen=True)
class Text:
    """Plain text as a part of a result."""

    content: str

    def text(self) -> str:
        """Return it."""
        return self.content

    def html(self) -> str:
        """Return it preformatted."""
        return f"<pre>{escape(self.content)}</pre>"


def launch(
    store: Store,
    recipe: Recipe | PipelineRun,
    *,
    title: str,
    background: bool = False,
    dry_run: bool = False,
    on_event: Listener | None = None,
    live: Mapping[int, Any] | None = None,
    executor: str = "local",
) -> Result | Run:
    """Run a recipe or a pipeline and return what it left.

    Returns
    -------
    Result or Run
        The result; with `dry_run` the recipe as JSON; with `background` a handle on the run.
    """
    for step in recipe.steps if isinstance(recipe, Recipe) else ():
        if step.name:
            check_given(step.name)
    if dry_run:
        form = codec.to_json(recipe)
        return Result("recipe", pictures=(Text(json.dumps(form, indent=2)),), details={"recipe": form})
    if kind_of(executor) == CLUSTER:
        return give(store, compiled(recipe, title) if isinstance(recipe, Recipe) else recipe, executor)
    run = Executor(store, executor).submit(
        recipe, title=title, background=background, on_event=on_event, live=live
    )
    return run if background and not live else outcome(run)


def outcome(run: Run) -> Result:
    """Return what the last step of a finished run left, or what a pipeline made."""
    row = run.row
    work = loads(row.recipe)
    if isinstance(work, PipelineRun):
        return pipeline_result(run.store, row, work.name)
    last, step = run.results()[-1], recipe_of(row).steps[-1]
    return Result(
        step.name or row.title,
        tables=tuple(table_of(table) for table in last.tables),
        digest=last.output,
        name=step.name,
        metrics=last.metrics,
        details={**last.details, "run": run.id, "cached": row.steps_cached == row.steps_total},
        store=run.store,
    )
