"""What a run has done so far, folded from its events: pure data with a text and an HTML face."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..render.lines import Axes, lines

BAR_CELLS = 24
ENDS = ("done", "failed", "cancelled")
TRAINING = ("CPU s", "held-out loss")
"""What the axes of a curve are, unless its event says otherwise."""


class RunEvent(Protocol):
    """One event of a run, as the store writes it."""

    @property
    def step(self) -> int:
        """Position of the step; -1 for the run itself."""

    @property
    def kind(self) -> str:
        """``run.started``, ``step.progress``, ``step.done`` and so on."""

    @property
    def payload(self) -> Mapping[str, Any]:
        """JSON-able facts: ``message`` and ``fraction`` of a ``step.progress``."""

    @property
    def created_s(self) -> float:
        """Unix seconds."""


@dataclass
class ProgressState:
    """The state one progress line shows.

    Parameters
    ----------
    title
        What the user asked for: ``quantize minilm``.

    Examples
    --------
    >>> from workbench.store import Event
    >>> state = ProgressState("quantize minilm")
    >>> state.fold(Event(1, "r1", 0, "step.started", {}, 10.0))
    >>> state.fold(Event(2, "r1", 0, "step.progress", {"message": "calibrate", "fraction": 0.5}, 12.0))
    >>> print(state.text())
    quantize minilm  ████████████░░░░░░░░░░░░  50 %  calibrate
    >>> state.fold(Event(3, "r1", 0, "step.done", {}, 13.0))
    >>> state.fold(Event(4, "r1", -1, "run.done", {}, 13.0))
    >>> print(state.text())
    quantize minilm  done in 3.0 s
    """

    title: str
    outcome: str = ""
    message: str = ""
    fraction: float | None = None
    curve: tuple[tuple[float, float], ...] = ()
    axes: tuple[str, str] = TRAINING
    curve_title: str = "training"
    _times_s: list[float] = field(default_factory=list)
    _cached: list[bool] = field(default_factory=list)

    def fold(self, event: RunEvent) -> None:
        """Take one event in."""
        subject, _, verb = event.kind.partition(".")
        self._times_s.append(event.created_s)
        if subject == "run" and verb in ENDS:
            self.outcome = verb
        elif event.kind == "run.started":  # another run of the same verb, which ended before
            self.outcome, self.message, self.fraction = "", "", None
        elif event.kind == "step.started":
            verb = str(event.payload.get("verb", ""))
            self.message, self.fraction = "" if self.title.startswith(verb) else verb, None
        elif event.kind == "step.progress":
            self.message = str(event.payload.get("message", self.message))
            self.fraction = event.payload.get("fraction")
            self.curve = tuple((x, y) for x, y in event.payload.get("curve", ()))
            x, y = event.payload.get("axes", TRAINING)
            self.axes, self.curve_title = (str(x), str(y)), str(event.payload.get("title", "training"))
        elif event.kind == "step.done":
            self._cached.append(bool(event.payload.get("cached", False)))
        elif event.kind == "step.retried":
            self.message = f"attempt {int(event.payload.get('attempt', 0)) + 1}"

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return bool(self.outcome)

    def text(self) -> str:
        """Return one line."""
        return "  ".join(part for part in (self.title, self._bar(), self._words()) if part)

    def html(self) -> str:
        """Return the same without a script: a bar while it runs, one line when it has ended."""
        words = f"<code>{html.escape(self.title)}</code> {html.escape(self._words())}"
        if self.ended or self.fraction is None:
            return f"<div>{words}</div>"
        width = 100 * min(max(self.fraction, 0.0), 1.0)
        track = "display:inline-block;width:12em;height:.7em;background:rgba(127,127,127,.3)"
        fill = f"display:block;width:{width:.0f}%;height:100%;background:#4c8bf5"
        bar = f'{words} <span style="{track}"><span style="{fill}"></span></span>'
        return f"<div>{bar}{self._drawn()}</div>"

    def mimebundle(self) -> dict[str, str]:
        """Return both faces."""
        return {"text/plain": self.text(), "text/html": self.html()}

    def _bar(self) -> str:
        if self.ended or self.fraction is None:
            return ""
        filled = round(BAR_CELLS * min(max(self.fraction, 0.0), 1.0))
        return "█" * filled + "░" * (BAR_CELLS - filled)

    def _drawn(self) -> str:
        if len(self.curve) < 2:
            return ""
        curve = lines({self.axes[1]: self.curve}, Axes(*self.axes), self.curve_title)
        return f"<div>{curve.html()}</div>"

    def _words(self) -> str:
        if self.ended:
            note = " (cached)" if self._cached and all(self._cached) else ""
            return f"{self.outcome} in {self._times_s[-1] - self._times_s[0]:.1f} s{note}"
        share = "" if self.fraction is None else f"{100 * self.fraction:.0f} %"
        return "  ".join(part for part in (share, self.message or ("" if share else "running")) if part)
