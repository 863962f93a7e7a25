"""What probes of functions cannot have seen: the time between a library's first call in a process and its probe."""

from __future__ import annotations

from collections.abc import Collection, Iterator

_SHOWN = 3


class Unseen:
    """Keeps account of it."""

    def __init__(self) -> None:
        self._gaps: dict[str, dict[int, int]] = {}
        self._ended = 0

    def add(self, pid: int, libraries: Collection[str], duration_ns: int) -> None:
        """Note that calls of libraries in a process were not seen for at most so long."""
        for library in libraries:
            self._gaps.setdefault(library, {})[pid] = duration_ns

    def add_ended(self) -> None:
        """Note that a process ended, or ran another program, before it was probed."""
        self._ended += 1

    def notes(self) -> Iterator[str]:
        """Yield a line for each library, and one for the processes never probed.

        Examples
        --------
        >>> unseen = Unseen()
        >>> unseen.add(70, ["libc10.so"], 90_000_000)
        >>> unseen.add(71, ["libc10.so"], 120_000_000)
        >>> list(unseen.notes())
        ['calls of libc10.so are missing: the first 0.09 s in process 70, 0.12 s in process 71, before it was probed']
        """
        for library, gaps in sorted(self._gaps.items()):
            longest = sorted(gaps.items(), key=lambda gap: -gap[1])[:_SHOWN]
            shown = [f"{ns / 1e9:.2f} s in process {pid}" for pid, ns in sorted(longest)]
            more = [f"less in {len(gaps) - _SHOWN:,} more"] if len(gaps) > _SHOWN else []
            yield f"calls of {library} are missing: the first {', '.join(shown + more)}, before it was probed"
        if self._ended:
            count = "1 process" if self._ended == 1 else f"{self._ended:,} processes"
            yield f"{count} ended or changed before functions in it could be probed: calls there are missing"
