"""Write ``vectors.json``, the cases every implementation of the route's policy must pass.

The expected values are worked out here by other means than the policy's own (exact fractions for the split, a
list for the window), so that the file is evidence and not an echo. Run it only to add cases.
"""

from __future__ import annotations

import json
import math
import random
from collections import deque
from fractions import Fraction
from pathlib import Path

STEP = round(2**32 / ((1 + math.sqrt(5)) / 2))
VECTORS = Path(__file__).with_name("vectors.json")


def split(first: int, count: int, weight: int) -> dict[str, object]:
    share = Fraction(weight, 10_000)
    tickets = [(first + n) % 2**32 for n in range(count)]
    canary = [
        n
        for n, ticket in enumerate(tickets)
        if Fraction((ticket * STEP + 2**31) % 2**32 + 1, 2**32) <= _cut(share)
    ]
    return {"first": first, "count": count, "weight": weight, "canary": canary}


def _cut(share: Fraction) -> Fraction:
    return Fraction(math.floor(share * 2**32), 2**32)


def sentinel(name: str, outcomes: str, breaches: int) -> dict[str, object]:
    """One letter a request: c or s good, C or S bad, of the canary or the stable track."""
    seen = {"c": deque([0] * 64, 64), "s": deque([0] * 64, 64)}
    verdict = None
    for at, letter in enumerate(outcomes):
        seen[letter.lower()].append(letter.isupper())
        canary, stable = sum(seen["c"]), sum(seen["s"])
        if canary - stable >= breaches:
            verdict = {"at": at, "observed": canary, "stable": stable}
            break
    return {"name": name, "breaches": breaches, "outcomes": outcomes, "verdict": verdict}


def main() -> None:
    rng = random.Random(7)
    noise = "".join(rng.choice("cccccccCssssssss") for _ in range(400))
    cases = {
        "split": [
            split(first, 50, weight)
            for first in (0, 1, 12_345, 2**32 - 20)
            for weight in (0, 1, 100, 500, 1_000, 2_500, 5_000, 9_999, 10_000)
        ],
        "sentinel": [
            sentinel("a healthy canary stays", "cs" * 200, 8),
            sentinel("the eighth bad request of a row convicts", "s" * 64 + "C" * 10, 8),
            sentinel("one is enough when one is the budget", "ccC", 1),
            sentinel("trouble of both tracks convicts nobody", "CS" * 100, 8),
            sentinel("what lies 64 requests back is forgotten", ("C" * 7 + "c" * 64) * 5, 8),
            sentinel("seven and, within 64, one more", "C" * 7 + "c" * 56 + "C", 8),
            sentinel("seven and, 64 later, one more", "C" * 7 + "c" * 64 + "C", 8),
            sentinel("more than the stable track by the budget", "SSSS" + "C" * 20, 8),
            sentinel("a canary under noise", noise, 20),
            sentinel("a canary under noise, strictly judged", noise, 4),
            sentinel("a full window", "C" * 64, 64),
            sentinel("a budget that 63 do not reach", "C" * 63 + "c" * 100, 64),
        ],
    }
    VECTORS.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
