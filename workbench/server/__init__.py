"""The Jupyter Server extension: the store's runs over REST, for the panel and for anything with a token.

It holds no state and opens no port: it rides on the Jupyter server's own address, login and proxies, and
answers from the store, so it works with no kernel, after a reload, and for runs that a shell started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "workbench.server"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    from .handlers import routes
    from .source import RunSource, home_of

    source = RunSource(home_of(app.root_dir))
    app.web_app.add_handlers(".*$", routes(app.web_app.settings["base_url"], source))
    app.log.info("workbench: runs of %s", source.home)
