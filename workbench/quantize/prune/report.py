"""What a pruning removed: the record written as ``pruning.json``."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.codec import register
from workbench.render.table import Table

from .config import PruneConfig

PRUNING_FILE = "pruning.json"


@register("pruned_layer")
@dataclass(frozen=True)
class PrunedLayer:
    """One layer, or several that share their channels.

    Parameters
    ----------
    layer
        Its name; several are joined by ``+``.
    before, after
        Channels, or weights that are not zero.
    why
        Why nothing was removed, empty where something was.
    """

    layer: str
    before: int
    after: int
    why: str = ""


@register("prune_report")
@dataclass(frozen=True)
class PruneReport:
    """What became of a program.

    Parameters
    ----------
    config
        What was asked for.
    layers
        Those that lost most first.
    parameters_before, parameters_after
        Parameters that are kept; single zeros are kept too.
    zeros
        Of the parameters after, how many are zero by choice.
    flops_before, flops_after
        Floating-point operations of one call on the captured inputs (2 a multiply-add), as torch counts them.

    Examples
    --------
    >>> report = PruneReport(PruneConfig(), (), 100, 60, 0, 1000, 400)
    >>> report.size_ratio, report.flops_ratio
    (0.6, 0.4)
    """

    config: PruneConfig
    layers: tuple[PrunedLayer, ...]
    parameters_before: int
    parameters_after: int
    zeros: int
    flops_before: int
    flops_after: int

    @property
    def size_ratio(self) -> float:
        """Parameters after over parameters before."""
        return self.parameters_after / max(self.parameters_before, 1)

    @property
    def flops_ratio(self) -> float:
        """Operations after over operations before; zeros in a dense weight are multiplied all the same."""
        return self.flops_after / max(self.flops_before, 1)

    @property
    def sparsity(self) -> float:
        """Share of the parameters after that are zero by choice."""
        return self.zeros / max(self.parameters_after, 1)

    def table(self, limit: int | None = None) -> Table:
        """Return the layers as a table."""
        what = "channels" if self.config.method == "channels" else "weights"
        rows = [(la.layer, la.before, la.after, la.why) for la in self.layers]
        hidden = len(rows) - limit if limit is not None and len(rows) > limit else 0
        return Table(
            ("layer", f"{what} before", "after", "why not"),
            rows[:limit],
            title=f"{self.config.method}: {self.parameters_before:,} -> {self.parameters_after:,} parameters,"
            f" {self.sparsity:.0%} of them zero",
            note=f"and {hidden} more" if hidden else "",
        )
