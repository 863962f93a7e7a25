"""What the routes ask, made when the first page asks: the server itself must not start later for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .deployments import Deployments
    from .library import Library
    from .runs import Runs
    from .watch import Watch


@dataclass(frozen=True)
class Parts:
    """What the routes ask."""

    runs: Runs
    library: Library
    deployments: Deployments
    watch: Watch


def parts_of(root_dir: str) -> Parts:
    """Return what answers for the store of a server whose root folder this is."""
    from .deployments import Deployments
    from .home import Home, home_of
    from .library import Library
    from .runs import Runs
    from .watch import Watch

    home = Home(home_of(root_dir), Path(root_dir).absolute())
    runs, deployments = Runs(home), Deployments(home)
    return Parts(runs, Library(home), deployments, Watch(home, runs, deployments))
