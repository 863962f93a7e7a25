"""Rows as a pandas DataFrame: the one place that imports pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import missing_dependency

if TYPE_CHECKING:
    import pandas as pd


def frame(rows: Iterable[Any], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows under their headings.

    Parameters
    ----------
    rows
        Sequences in the order of `columns`, or mappings with these keys.
    columns
        Headings.

    Raises
    ------
    MissingDependency
        If pandas is not installed.

    Examples
    --------
    >>> float(frame([("fp32", 90.8), ("int8", 23.0)], ["name", "MB"])["MB"].min())
    23.0
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise missing_dependency("pandas", "examples") from error
    return pd.DataFrame(list(rows), columns=list(columns))
