"""Whether anything listens at a cluster's address: Ray itself goes on asking for minutes where nobody does."""

from __future__ import annotations

import socket

from ...errors import InputError, RunError

_ANSWER_S = 10.0


def reach(address: str) -> None:
    """Return when something listens at a cluster's address.

    Raises
    ------
    InputError
        If it is no ``HOST:PORT``.
    RunError
        If nothing listens there.

    Examples
    --------
    >>> reach("head")
    Traceback (most recent call last):
    ...
    workbench.errors.InputError: 'head' is no HOST:PORT
      where: executor
      next:  ray://HOST:PORT, as ray start --head printed it
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(
            f"{address!r} is no HOST:PORT",
            where="executor",
            fix="ray://HOST:PORT, as ray start --head printed it",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise RunError(
            f"no Ray cluster answers at {address}",
            where=address,
            fix="check the address and that its head runs (ray start --head); mlops resume goes on with what is done",
        ) from error
