"""Which address leads to which handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join

from . import handlers
from .parts import Parts
from .stream import StreamHandler

_ONE = r"([^/]+)"
TABLE: tuple[tuple[str, type[JupyterHandler]], ...] = (
    (r"runs/?", handlers.RunsHandler),
    (rf"runs/{_ONE}", handlers.RunHandler),
    (rf"runs/{_ONE}/resume", handlers.ResumeHandler),
    (rf"runs/{_ONE}/log", handlers.LogHandler),
    (r"events", handlers.EventsHandler),
    (r"stream", StreamHandler),
    (r"models", handlers.ModelsHandler),
    (r"profiles", handlers.ProfilesHandler),
    (rf"profiles/{_ONE}", handlers.ProfileHandler),
    (r"deployments", handlers.DeploymentsHandler),
    (rf"deployments/{_ONE}/{_ONE}", handlers.OperationHandler),
    (r"system", handlers.SystemHandler),
    (rf"views/{_ONE}\.js", handlers.ViewHandler),
)


def routes(
    base_url: str, parts: Callable[[], Parts]
) -> list[tuple[str, type[JupyterHandler], dict[str, Any]]]:
    """Return tornado's routing rows for a server whose address starts with `base_url`."""
    return [(url_path_join(base_url, "/mlops/api", path), kind, {"parts": parts}) for path, kind in TABLE]
