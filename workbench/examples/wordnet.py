"""Retrieval pairs from WordNet 3.0: an example sentence and the gloss of the same synset.

A sentence encoder is asked to find, for each example sentence, its own gloss among all of them. The
files come with Debian's ``wordnet-base`` (WordNet licence); their format is ``wndb(5WN)``: one synset a
line, the gloss after ``|`` with example sentences in double quotes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import MissingInput

FOLDER = Path("/usr/share/wordnet")
PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
# Long enough to carry meaning, short enough for 64 tokens.
EXAMPLE = re.compile(r'"([^"]{25,160})"')
SHORTEST_GLOSS = 25


def pairs(count: int, *, skip: int = 0, seed: int = 0, folder: Path = FOLDER) -> tuple[list[str], list[str]]:
    """Return `count` example sentences and their glosses, in a fixed random order.

    Parameters
    ----------
    count
        How many pairs.
    skip
        Leave out this many first: disjoint sets for calibration and evaluation.
    seed
        Of the order.
    folder
        Where ``data.noun`` and its siblings lie.

    Returns
    -------
    tuple of list of str
        Queries and documents; query ``i`` belongs to document ``i``.

    Raises
    ------
    MissingInput
        If WordNet is not installed or holds too few pairs.
    """
    everything = [pair for part in PARTS_OF_SPEECH for pair in _read(folder / f"data.{part}")]
    random.Random(seed).shuffle(everything)  # noqa: S311  an order, not a secret
    chosen = everything[skip : skip + count]
    if len(chosen) < count:
        raise MissingInput(
            f"WordNet has {len(everything)} pairs, {skip + count} asked for", where=str(folder)
        )
    return [query for query, _ in chosen], [document for _, document in chosen]


def _read(path: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except FileNotFoundError as error:
        raise MissingInput(
            "WordNet is not installed", where=str(path), fix="apt install wordnet-base"
        ) from error
    for line in lines:
        if line.startswith("  ") or "|" not in line:  # the licence's header lines begin with blanks
            continue
        gloss = line.split("|", 1)[1].strip()
        examples = EXAMPLE.findall(gloss)
        definition = gloss.split('"')[0].strip(" ;")
        if examples and len(definition) > SHORTEST_GLOSS:
            yield examples[0], definition
