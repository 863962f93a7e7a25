"""What a quantization did, layer by layer: the record written as ``quantization.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.codec import loads, register
from workbench.render.table import Cell, Table

from .config import QuantizeConfig
from .points import MixedPoint

QUANTIZATION_FILE = "quantization.json"
_NAMED = 4


@register("quantized_layer")
@dataclass(frozen=True)
class LayerRow:
    """One quantized layer.

    Parameters
    ----------
    layer, kind
        Its name in the module and its kind (``linear``, ``conv2d``, ``recurrent``, ...).
    how
        ``static``, ``dynamic`` or ``weights`` (int8 storage, float arithmetic); ``ternary``, ``int4`` or ``int8``
        where each layer has a format of its own.
    parameters
        Weight elements kept as integers; 0 where another row counted them (tied weights).
    weight_sqnr_db
        Signal to quantization noise of the weight; each 6 dB is one bit.
    output_sqnr_db
        The same for the layer's output given its true input; None without calibration data.
    why
        Why it has another format than the scheme's.
    """

    layer: str
    kind: str
    how: str
    parameters: int
    weight_sqnr_db: float
    output_sqnr_db: float | None = None
    why: str = ""

    @property
    def sqnr_db(self) -> float:
        """The figure to rank by: the output's where measured, else the weight's."""
        return self.weight_sqnr_db if self.output_sqnr_db is None else self.output_sqnr_db


@register("skipped_layer")
@dataclass(frozen=True)
class SkippedLayer:
    """A layer left in float, and why."""

    layer: str
    kind: str
    parameters: int
    why: str


@register("quantize_report")
@dataclass(frozen=True)
class QuantizeReport:
    """What became of a program.

    Parameters
    ----------
    config
        What was asked for.
    layers
        The quantized layers, worst first.
    skipped
        The layers left in float.
    total_parameters
        Parameters of the program before.
    bytes_before, bytes_after
        Size of all weights and buffers.
    calibration_batches
        How many batches were seen; 0 without data.
    points
        The programs that a search for mixed precision scored.

    Examples
    --------
    >>> row = LayerRow("fc", "linear", "dynamic", 90, 40.0)
    >>> report = QuantizeReport(QuantizeConfig(), (row,), (), 100, 400, 130)
    >>> report.share, round(report.size_ratio, 3)
    (0.9, 0.325)
    """

    config: QuantizeConfig
    layers: tuple[LayerRow, ...]
    skipped: tuple[SkippedLayer, ...]
    total_parameters: int
    bytes_before: int
    bytes_after: int
    calibration_batches: int = 0
    points: tuple[MixedPoint, ...] = ()

    @property
    def share(self) -> float:
        """Share of the parameters that is really kept as integers."""
        return sum(row.parameters for row in self.layers) / max(self.total_parameters, 1)

    @property
    def size_ratio(self) -> float:
        """Size after over size before."""
        return self.bytes_after / max(self.bytes_before, 1)

    def shares(self) -> dict[str, float]:
        """Return the share of the parameters in each format, the largest first; ``float`` is the rest."""
        held: dict[str, float] = {}
        for row in self.layers:
            held[row.how] = held.get(row.how, 0) + row.parameters / max(self.total_parameters, 1)
        held["float"] = max(0.0, 1 - sum(held.values()))
        return dict(sorted(held.items(), key=lambda item: -item[1]))

    def search_table(self, baseline: float) -> Table:
        """Return the scored programs, the smallest first; `baseline` is the float program's score."""
        rows = [
            (
                "* " * p.chosen + p.label,
                p.size_bytes / 1e6,
                p.score,
                p.score - baseline,
                "yes" if p.passes else "no",
            )
            for p in sorted(self.points, key=lambda p: p.size_bytes)
        ]
        columns = ("formats of the layers", "MB of layers", "score", "change", "passes")
        return Table(
            columns, rows, title="mixed precision: what was scored", note="* taken; scores in torch eager"
        )

    def _coverage(self) -> str:
        whole = f"of {self.total_parameters:,} parameters"
        if self.config.scheme == "int8":
            return f"{self.share:.1%} {whole} quantized"
        return f"{', '.join(f'{share:.1%} {how}' for how, share in self.shares().items())} {whole}"

    def worst(self, count: int = 3) -> tuple[LayerRow, ...]:
        """Return the layers that lose most."""
        return self.layers[:count]

    def table(self, limit: int | None = None) -> Table:
        """Return the layers as a table, worst first, the skipped ones below.

        Below the first `limit` it says which others did not become what the scheme is named after, and why.
        """
        rows: list[tuple[str | int | float | None, ...]] = [
            (r.layer, r.kind, r.how, r.parameters, r.weight_sqnr_db, r.output_sqnr_db, r.why)
            for r in self.layers
        ]
        rows += [(s.layer, s.kind, "float", s.parameters, None, None, s.why) for s in self.skipped]
        hidden = [] if limit is None else rows[limit:]
        notes = [f"and {len(hidden)} more layers"] if hidden else []
        return Table(
            ("layer", "kind", "how", "parameters", "weight dB", "output dB", "why"),
            rows[:limit],
            title=f"{self.config.scheme}: {self._coverage()}, "
            f"weights {self.bytes_before:,} -> {self.bytes_after:,} bytes ({self.size_ratio:.2f}x)",
            note="; ".join([*notes, *_stayed(hidden, self.config.scheme)]),
        )


def _stayed(rows: Sequence[Sequence[Cell]], scheme: str) -> list[str]:
    """Return the layers that did not become what was asked for, those with one reason together."""
    together: dict[tuple[Cell, Cell], list[str]] = {}
    several = scheme in ("int8", "mixed")  # whose layers have formats under several names
    for layer, _, how, _, _, _, why in rows:
        if how == "float" or (why and how != scheme and not several):
            together.setdefault((how, why), []).append(str(layer))
    return [
        f"{how}: {', '.join(names[:_NAMED])}{' ...' if len(names) > _NAMED else ''} ({why})"
        for (how, why), names in together.items()
    ]


def worst_first(rows: list[LayerRow]) -> tuple[LayerRow, ...]:
    """Return rows by falling loss; equal ones by name, so that the order never varies."""
    return tuple(sorted(rows, key=lambda r: (r.sqnr_db, r.layer)))


def layers_of(variant: Path) -> tuple[Table, ...]:
    """Return every layer of a variant's folder, as a table; none if it has no report."""
    path = variant / QUANTIZATION_FILE
    if not path.exists():
        return ()
    report = loads(path.read_text())
    assert isinstance(report, QuantizeReport), "it is written as one"
    return (report.table(),)
