"""The Jupyter Server extension: the store over REST and one WebSocket, for the panel and anything with a token.

It holds no state and opens no port: it rides on the Jupyter server's own address, login and proxies, and
answers from the store, so it works with no kernel, after a reload, and for runs that a shell started.

::

    routes.py, handlers.py   addresses, login, JSON and status codes
    stream.py, watch.py      the WebSocket; what changed since a sequence number
    parts.py                 made with the first request: a server must not start later for us
    runs, library, deployments   what is answered, read from the store in home.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "workbench.server"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    from functools import cache, partial

    from .parts import parts_of
    from .routes import routes

    parts = cache(partial(parts_of, app.root_dir))
    app.web_app.add_handlers(".*$", routes(app.web_app.settings["base_url"], parts))
