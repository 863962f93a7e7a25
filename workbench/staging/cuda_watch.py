"""Find the CUDA calls of a canary's processes, so that the route can judge it by them."""

from __future__ import annotations

from collections.abc import Sequence

from ..route.base import Route
from ..route.policy import Budget
from ..route.state import Endpoint
from ..trace.functions import Found, find_functions
from ..trace.sites import Site

_NUMBER = (1 << 32) - 1


class CudaWatch:
    """Tells a route about the CUDA libraries its canary has loaded, each once."""

    def __init__(self) -> None:
        self._found: dict[int, Found] = {}

    def look(self, route: Route, budget: Budget, endpoints: Sequence[Endpoint]) -> None:
        """Look at the processes of a canary's replicas, if its budget limits CUDA calls.

        Raises
        ------
        StagingError
            If the route cannot see them.
        """
        if not budget.limits_cuda:
            return
        pids = {one.pid for one in endpoints}
        for pid in self._found.keys() - pids:
            self._found.pop(pid).close()
        for pid in pids - self._found.keys():
            self._found[pid] = Found()
        for pid, found in list(self._found.items()):
            try:
                self._look_at(route, pid, found)
            except BaseException:
                self._found.pop(pid).close()  # so that the next look tells the route again
                raise

    @staticmethod
    def _look_at(route: Route, pid: int, found: Found) -> None:
        known = len(found.sites)
        find_functions(("cuda",), pid, found)
        for number, file in enumerate(found.files):
            sites = [site for site in found.sites[known:] if site.file == number]
            returns, launches = _offsets(sites, found)
            if returns:
                route.watch_cuda(pid, file, returns, launches)

    def close(self) -> None:
        """Close what it keeps open: the libraries it has found."""
        while self._found:
            self._found.popitem()[1].close()


def _offsets(sites: Sequence[Site], found: Found) -> tuple[list[int], list[int]]:
    """Return where the calls of one library are, and which of them launch."""
    returns = [at for site in sites if site.program == "handle_cuda_return" for at in site.offsets]
    launches = [
        at
        for site in sites
        if site.program == "handle_cuda"
        for at, cookie in zip(site.offsets, site.cookies, strict=True)
        if "Launch" in found.functions[cookie & _NUMBER][1]
    ]
    return returns, launches
