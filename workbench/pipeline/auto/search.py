"""The search: compile, race, score, pick, all within a budget of seconds."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import codec
from ...compile import CompileConfig
from ...errors import GateRefused, WorkbenchError
from ...program import ONNX_FILE, PROGRAM_FILE
from ...store.blobs import hash_file
from .contenders import Contender
from .race import race
from .side_by_side import side_by_side
from .team import Team

_COMPILING, _RACING = 0.7, 0.2
"""Shares of the budget: no compilation begins, or goes on, beyond the first; the race takes the second."""
_LEAST_S = 20.0
"""What a compilation may always take, so that a small budget still answers."""
_WORTH = 1.01
"""A number format must be this much faster than float to be worth what it loses."""

Variant = Callable[[str], Path]
"""The program in a number format, as a folder; made when first asked for."""


@dataclass
class Search:
    """What a search needs.

    Parameters
    ----------
    team
        The workers.
    variant
        Gives the program in a number format.
    new_folder
        Gives an empty folder.
    feeds
        File with the inputs of one call.
    measure
        What a worker is told to score by: ``home``, ``function``, ``pairs``.
    max_drop
        Largest loss of score.
    threads, budget_s
        Of the sessions; of the whole search.
    tell
        Called with a line and the share done.
    """

    team: Team
    variant: Variant
    new_folder: Callable[[], Path]
    feeds: Path
    measure: Mapping[str, Any]
    max_drop: float
    threads: int
    budget_s: float
    tell: Callable[[str, float], None]
    began: float = field(default_factory=time.monotonic)
    _seen: dict[tuple[str, str], str] = field(default_factory=dict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def run(self, found: list[Contender]) -> tuple[Contender, Contender]:
        """Fill in what is found out about every contender; return the winner and the baseline (eager).

        Raises
        ------
        WorkbenchError
            If even eager cannot run or be scored; as its worker said.
        """
        baseline = next(one for one in found if one.backend == "eager" and one.scheme == "none")
        self._compile(baseline, None)
        baseline.score = self._score(baseline)
        others = [one for one in found if one is not baseline]
        side_by_side(
            others, lambda one: self._build(one, others.index(one) / len(found)), len(os.sched_getaffinity(0))
        )
        self.tell("racing", 0.7)
        race([one for one in found if one.runs], baseline, self._lap, _RACING * self.budget_s)
        self._judge(found, baseline)
        return self._pick(found, baseline), baseline

    def _build(self, one: Contender, share: float) -> None:
        """Compile a contender, if there is time for it."""
        left = _COMPILING * self.budget_s - self._spent()
        if left <= 0:
            one.verdict = "not tried: the budget was spent"
            return
        with self._one_at_a_time:
            self.tell(f"compiling {one.label}", 0.05 + 0.6 * share)
        self._tried(one, lambda: self._compile(one, max(left, _LEAST_S)))

    def _spent(self) -> float:
        return time.monotonic() - self.began

    def _tried(self, one: Contender, work: Callable[[], None]) -> None:
        """Do something with a contender; what goes wrong is its verdict."""
        try:
            work()
        except WorkbenchError as error:
            one.verdict = f"{type(error).__name__}: {error.what}"

    def _compile(self, one: Contender, timeout_s: float | None) -> None:
        with self._one_at_a_time:
            began = time.monotonic()
            source = self.variant(one.scheme)
            if (first := self._seen.setdefault((one.backend, _digest(source)), one.label)) != one.label:
                one.verdict = f"the same program as {first}"
                return
            out = self.new_folder()
        config = codec.to_json(CompileConfig(one.backend, threads=self.threads))
        order = {"source": str(source), "out": str(out), "config": config}
        answer = self.team.ask(one.backend, timeout_s or 600.0, "compile", **order)
        one.folder, one.report = str(out), codec.from_json(answer["report"])
        one.bytes, one.compile_s = one.report.bytes, time.monotonic() - began

    def _lap(self, one: Contender) -> float | None:
        try:
            order = {"folder": one.folder, "feeds": str(self.feeds), "least_s": 0.005}
            return float(self.team.ask(one.backend, 120.0, "time", **order)["seconds"])
        except WorkbenchError as error:
            one.verdict = f"{type(error).__name__}: {error.what}"
            return None

    def _score(self, one: Contender) -> float:
        return float(self.team.ask(one.backend, 600.0, "score", folder=one.folder, **self.measure)["score"])

    def _judge(self, found: list[Contender], baseline: Contender) -> None:
        """Score the quantized contenders, the fastest first; float ones were compared with eager already."""
        assert baseline.score is not None, "the baseline is scored first"
        for one in sorted((one for one in found if one.runs), key=lambda one: -(one.ratio or 0)):
            if one.scheme == "none":
                one.score = baseline.score
                continue
            if self._spent() > self.budget_s and any(
                other.score is not None for other in found if other is not baseline
            ):
                one.verdict = "not judged: the budget was spent"
                continue
            self.tell(f"scoring {one.label}", 0.9)
            self._tried(one, lambda one=one: setattr(one, "score", self._score(one)))  # type: ignore[misc]
            if one.score is not None and baseline.score - one.score > self.max_drop:
                one.verdict = (
                    f"refused: loses {baseline.score - one.score:.4g}, {self.max_drop:.4g} may be lost"
                )

    def _pick(self, found: list[Contender], baseline: Contender) -> Contender:
        passing = [one for one in found if one.runs and one.score is not None and one.ratio]
        if not passing:
            raise GateRefused(
                "no backend passes", where="auto", fix="compile with --backend eager", baseline=baseline.score
            )
        floats = [one for one in passing if one.scheme == "none"]
        best_float = max(floats, key=lambda one: one.ratio or 0, default=None)
        best = max(passing, key=lambda one: one.ratio or 0)
        bar = (best_float.ratio or 0) * _WORTH if best_float else 0.0
        if best_float and (best.ratio or 0) < bar:
            best = best_float
        for one in passing:
            slow = one.scheme != "none" and (one.ratio or 0) < bar
            one.verdict = "slower than float" if slow else "passes"
        best.verdict = "picked"
        return best


def _digest(program: Path) -> str:
    """Return the digest of a folder's program: two number formats may come to the same."""
    return hash_file(next(path for name in (ONNX_FILE, PROGRAM_FILE) if (path := program / name).exists()))
