"""The routes, under the server's base address::

    GET    /mlops/api/runs?limit=50    {"runs": [...]}, newest first
    GET    /mlops/api/runs/<id>        one run with its steps
    DELETE /mlops/api/runs/<id>        the run after it was told to end

Every route wants the server's login. Failures are JSON with a ``message`` and the fields of
:meth:`workbench.errors.WorkbenchError.to_json`: 400 bad limit, 404 unknown run, 409 already ended.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from ..errors import InputError, RunError, UnknownRun, WorkbenchError
from .source import RunSource

_MOST_RUNS = 1000
_STATUS: dict[type[WorkbenchError], int] = {InputError: 400, UnknownRun: 404, RunError: 409}


def routes(base_url: str, source: RunSource) -> list[tuple[str, type[APIHandler], dict[str, Any]]]:
    """Return tornado's routing rows for a server whose address starts with `base_url`."""
    given = {"source": source}
    return [
        (url_path_join(base_url, r"/mlops/api/runs/?"), RunsHandler, given),
        (url_path_join(base_url, r"/mlops/api/runs/([^/]+)"), RunHandler, given),
    ]


class _Handler(APIHandler):
    auth_resource = "mlops"

    def initialize(self, source: RunSource) -> None:
        self.source = source

    async def answer(self, status: int, ask: Callable[..., Any], *values: Any) -> None:
        """Ask the store in a thread, since a busy store may wait for its lock, and write what it said."""
        try:
            body = await asyncio.to_thread(ask, *values)
        except WorkbenchError as error:
            self.set_status(next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500))
            body = {"message": str(error), **error.to_json()}
        else:
            self.set_status(status)
        self.finish(json.dumps(body))


class RunsHandler(_Handler):
    """The list of runs."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer the newest runs."""
        await self.answer(200, self._list, self.get_query_argument("limit", "50"))

    def _list(self, limit: str) -> dict[str, Any]:
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= _MOST_RUNS:
            raise InputError(f"limit must be 1 to {_MOST_RUNS}", where=f"limit={limit!r}")
        return self.source.list(int(limit))


class RunHandler(_Handler):
    """One run."""

    @web.authenticated
    @authorized
    async def get(self, run_id: str) -> None:
        """Answer one run with its steps."""
        await self.answer(200, self.source.get, run_id)

    @web.authenticated
    @authorized
    async def delete(self, run_id: str) -> None:
        """End the run."""
        await self.answer(200, self.source.cancel, run_id)
