"""How alike two sets of outputs are: what a candidate is judged by where the user gave no measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...session import Session

Arrays = Mapping[str, Any]


def likeness(session: Session, pairs: Iterable[tuple[Arrays, Arrays]]) -> float:
    """Return 100 times the mean cosine of a session's outputs to the expected ones, item by item.

    Outputs that are no floats count by the share of elements that are equal.

    Parameters
    ----------
    session
        What is judged.
    pairs
        Inputs by name, and the outputs of the float program for them.
    """
    import numpy

    found = []
    for feeds, expected in pairs:
        given = session.run(feeds)
        for name, want in expected.items():
            if want.dtype.kind != "f":
                found.append(float((given[name] == want).mean()))
                continue
            rows = (len(want), -1) if want.ndim > 1 else (1, -1)
            a, b = (numpy.nan_to_num(x.astype("float64")).reshape(rows) for x in (given[name], want))
            length = numpy.linalg.norm(a, axis=1) * numpy.linalg.norm(b, axis=1)
            same = (a == b).all(1)
            found.append(float(numpy.where(same, 1.0, (a * b).sum(1) / numpy.maximum(length, 1e-30)).mean()))
    return 100 * sum(found) / len(found)
