"""The routes, under the server's base address::

    GET    /mlops/api/runs?limit=50             {"runs": [...], "seq": n}, newest first
    GET    /mlops/api/runs/<id>                 one run with its steps
    DELETE /mlops/api/runs/<id>                 the run after it was told to end
    POST   /mlops/api/runs/<id>/resume          the run, which goes on in the background
    GET    /mlops/api/runs/<id>/log             ?step=-1&offset=-65536; a piece and where to ask on
    GET    /mlops/api/events?since=<seq>        what the stream would say, for a page without WebSockets
    GET    /mlops/api/stream?since=<seq>        a WebSocket, see :mod:`.stream`
    GET    /mlops/api/models                    artifacts with parents and figures; what the gate refused
    GET    /mlops/api/profiles                  the traces
    GET    /mlops/api/profiles/<digest>         the report of one, as a page without scripts
    GET    /mlops/api/deployments               what is staged, with two minutes of readings
    POST   /mlops/api/deployments/<name>/<op>   promote, rollback, unstage, ...
    GET    /mlops/api/system                    what `%mlops doctor` found
    GET    /mlops/api/views/<name>.js           the module that draws a view

Every route wants the server's login. Failures are JSON with a ``message`` and the fields of
:meth:`workbench.errors.WorkbenchError.to_json`: 400 bad input, 404 unknown, 409 not possible now.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from ..errors import (
    DeploymentBusy,
    InputError,
    RunError,
    StagingError,
    UnknownArtifact,
    UnknownDeployment,
    UnknownRun,
    WorkbenchError,
)
from .parts import Parts

_MOST_RUNS = 1000
_LARGEST = 2**53  # the largest whole number a page's JavaScript holds
_STATUS: dict[type[WorkbenchError], int] = {
    UnknownRun: 404,
    UnknownArtifact: 404,
    UnknownDeployment: 404,
    InputError: 400,
    RunError: 409,
    DeploymentBusy: 409,
    StagingError: 409,
}


class Handler(APIHandler):
    """Asks a part in a thread and writes what it said."""

    auth_resource = "mlops"

    def initialize(self, parts: Callable[[], Parts]) -> None:
        """Take the parts."""
        self.parts = parts()

    async def answer(self, ask: Callable[..., Any], *values: Any) -> None:
        """Write an answer; in a thread, since a busy store may wait for its lock."""
        try:
            body = await asyncio.to_thread(ask, *values)
        except WorkbenchError as error:
            self.set_status(next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500))
            body = {"message": str(error), **error.to_json()}
        self.finish(json.dumps(body))

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number of the query.

        Raises
        ------
        InputError
            If it is none, or outside its range.
        """
        text = self.get_query_argument(name, str(default))
        digits = text.removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 17 or not low <= int(text) <= high:
            raise InputError(f"{name} must be {low} to {high}", where=f"{name}={text!r}")
        return int(text)


class RunsHandler(Handler):
    """The list of runs."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer the newest runs."""
        await self.answer(lambda: self.parts.runs.list(self.number("limit", 50, 1, _MOST_RUNS)))


class RunHandler(Handler):
    """One run."""

    @web.authenticated
    @authorized
    async def get(self, run_id: str) -> None:
        """Answer one run with its steps."""
        await self.answer(self.parts.runs.get, run_id)

    @web.authenticated
    @authorized
    async def delete(self, run_id: str) -> None:
        """End the run."""
        await self.answer(self.parts.runs.cancel, run_id)


class ResumeHandler(Handler):
    """Going on with a run."""

    @web.authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        """Go on in the background."""
        await self.answer(self.parts.runs.resume, run_id)


class LogHandler(Handler):
    """The log of a run's step."""

    @web.authenticated
    @authorized
    async def get(self, run_id: str) -> None:
        """Answer a piece of the log."""

        def ask() -> dict[str, Any]:
            step = self.number("step", -1, -1, 1_000_000)
            offset = self.number("offset", -(64 * 1024), -_LARGEST, _LARGEST)
            return self.parts.runs.log(run_id, step, offset)

        await self.answer(ask)


class EventsHandler(Handler):
    """What happened since a sequence number."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer the next messages of the stream."""
        await self.answer(lambda: self.parts.watch.since(self.number("since", 0, 0, _LARGEST)))


class ModelsHandler(Handler):
    """The artifacts."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer all of them."""
        await self.answer(self.parts.library.models)


class ProfilesHandler(Handler):
    """The traces."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer all of them."""
        await self.answer(self.parts.library.profiles)


class ProfileHandler(Handler):
    """One trace."""

    @web.authenticated
    @authorized
    async def get(self, digest: str) -> None:
        """Answer its report."""
        await self.answer(lambda: {"html": self.parts.library.report(digest)})


class DeploymentsHandler(Handler):
    """The deployments."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer all of them."""
        await self.answer(self.parts.deployments.read)


class OperationHandler(Handler):
    """One operation on a deployment."""

    @web.authenticated
    @authorized
    async def post(self, name: str, operation: str) -> None:
        """Do it and answer what is staged then."""
        await self.answer(self.parts.deployments.operate, name, operation)


class SystemHandler(Handler):
    """The machine."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer what the doctor found."""
        from ..doctor import examine

        await self.answer(lambda: {**examine().to_json(), "home": str(self.parts.runs.home.path)})


class ViewHandler(Handler):
    """The module of a view: code of the installed package, for pages that are logged in."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Answer the module's text."""
        from ..widgets.live import module_of

        try:
            text = module_of(name)
        except InputError as error:
            self.set_status(404)
            self.finish(json.dumps({"message": str(error), **error.to_json()}))
            return
        self.set_header("Cache-Control", "no-cache")
        self.finish(text, set_content_type="text/javascript; charset=utf-8")
