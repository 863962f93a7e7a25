"""Work of several backends at once: each backend's own one after the other, because its worker does one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from .contenders import Contender


def side_by_side(field: Sequence[Contender], work: Callable[[Contender], None], hands: int) -> None:
    """Do some work for every contender, begun in their order, so many at a time and no two of one backend.

    Parameters
    ----------
    field
        The contenders.
    work
        Called once for each; what it raises ends the whole after what is under way.
    hands
        How many at a time.
    """
    waiting, busy, change = list(field), set[str](), threading.Condition()

    def take() -> Contender | None:
        with change:
            while waiting:
                one = next((one for one in waiting if one.backend not in busy), None)
                if one is not None:
                    waiting.remove(one)
                    busy.add(one.backend)
                    return one
                change.wait()
        return None

    def give_up() -> None:
        with change:  # not between another hand's choice and its taking
            waiting.clear()

    def hand() -> None:
        while (one := take()) is not None:
            try:
                work(one)
            except BaseException:
                give_up()
                raise
            finally:
                with change:
                    busy.discard(one.backend)
                    change.notify_all()

    with ThreadPoolExecutor(hands) as pool:
        done = [pool.submit(hand) for _ in range(min(hands, len(field)))]
        try:
            for each in done:
                each.result()
        except BaseException:
            give_up()
            raise
