"""A load generator: every request is counted as answered or failed, with its why."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Ask = Callable[[http.client.HTTPConnection], None]


@dataclass
class Traffic:
    """Clients that ask until they are stopped; half keep their connection, half close it each time."""

    url: str
    ask: Ask
    clients: int = 6
    pause_s: float = 0.0
    failures: list[str] = field(default_factory=list)
    versions: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def answered(self) -> int:
        with self._lock:
            return sum(self.versions.values())

    def by_version(self) -> Counter[str]:
        with self._lock:
            seen: Counter[str] = Counter()
            for (version, _), count in self.versions.items():
                seen[version] += count
            return seen

    def wait_for(self, more: int, timeout_s: float = 60.0) -> None:
        """Wait until so many more requests were answered."""
        wanted, until = self.answered + more, time.monotonic() + timeout_s
        while self.answered < wanted:
            assert time.monotonic() < until, f"only {self.answered} of {wanted}; {self.failures[:3]}"
            time.sleep(0.01)

    def _client(self, keep_alive: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        address = urlsplit(self.url)
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
                self.ask(connection)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    raise ValueError(f"{answer.status}: {text[:200]!r}")
                key = (answer.headers["x-mlops-version"], answer.headers["x-mlops-track"])
                with self._lock:
                    self.versions[key] += 1
                if not keep_alive or answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException, ValueError) as error:
                with self._lock:
                    self.failures.append(f"{type(error).__name__}: {error}")
                if connection is not None:
                    connection.close()
                connection = None
            time.sleep(self.pause_s)
        if connection is not None:
            connection.close()


def ask_get(path: str = "/") -> Ask:
    return lambda connection: connection.request("GET", path)


@contextlib.contextmanager
def traffic(url: str, ask: Ask, *, clients: int = 6, pause_s: float = 0.005) -> Iterator[Traffic]:
    load = Traffic(url, ask, clients, pause_s)
    threads = [threading.Thread(target=load._client, args=(number % 2 == 0,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load._stop.set()
        for thread in threads:
            thread.join(40)
