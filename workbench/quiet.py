"""Libraries that talk while they work: what matters comes back as an error or a result."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Keep warnings, and what libraries log below CRITICAL, out of the notebook.

    Parameters
    ----------
    loggers
        Of the libraries, such as ``"torch.onnx"``; those below them that set no level of their own follow.

    Examples
    --------
    >>> import logging
    >>> with quiet("some.library"):
    ...     logging.getLogger("some.library.part").error("no GPU")
    """
    levels = [(one := logging.getLogger(name), one.level) for name in loggers]
    for one, _ in levels:
        one.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in levels:
            one.setLevel(level)
