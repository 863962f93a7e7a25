"""What a pruning should remove, as a record: the parameters of one recipe step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from workbench.codec import register
from workbench.errors import InputError

Method = Literal["channels", "magnitude", "nm"]


@register("prune_config")
@dataclass(frozen=True)
class PruneConfig:
    """What to remove.

    Parameters
    ----------
    method
        ``channels``: whole channels, cut out of every weight that holds them, so that every backend really does
        less; ``magnitude``: the smallest single weights of the whole program become zero; ``nm``: of every `of`
        consecutive inputs the `keep` largest weights stay (Mishra et al. 2021, arXiv 2104.08378).
    amount
        Share to remove: of each group of channels, or of all weights. ``nm`` has its share from `keep` and `of`.
    keep, of
        The pattern of ``nm``, such as 2 of 4.
    skip
        Glob patterns of layer names to leave as they are, such as ``"head.*"``.
    multiple
        Kept channels are rounded up to a multiple of this where a group has more: kernels work in whole vectors.

    Raises
    ------
    InputError
        If a value is out of its range.

    Examples
    --------
    >>> PruneConfig("channels", 0.3).share
    0.3
    >>> PruneConfig("nm", keep=2, of=4).share
    0.5
    """

    method: Method = "channels"
    amount: float = 0.5
    keep: int = 2
    of: int = 4
    skip: tuple[str, ...] = ()
    multiple: int = 8

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InputError(
                f"method is {self.method!r}",
                where="prune, method",
                fix=f"one of: {', '.join(get_args(Method))}",
            )
        if not 0 < self.amount < 1:
            raise InputError(
                f"amount is {self.amount}",
                where="prune, amount",
                fix="between 0 and 1, such as 0.5 for a half",
            )
        if not 0 < self.keep < self.of:
            raise InputError(
                f"the pattern is {self.keep}:{self.of}", where="prune, pattern", fix="such as 2:4"
            )
        if self.multiple < 1:
            raise InputError(f"multiple is {self.multiple}", where="prune, multiple", fix="1 or more")

    @property
    def share(self) -> float:
        """The share of what is prunable that is to go."""
        return 1 - self.keep / self.of if self.method == "nm" else self.amount
