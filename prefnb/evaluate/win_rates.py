"""Win rates: every answer of a policy against every answer of a baseline, prompt by prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from prefnb.evaluate._numbers import Numbers, paired
from prefnb.evaluate.intervals import Interval, bootstrap_interval, wilson_interval


@dataclass(frozen=True)
class WinRate:
    """How often a policy's answers beat a baseline's to the same n prompts: shares of all comparisons, the mean over
    prompts of each prompt's share.

    `rate` counts a tie as half a win: two equal policies get 0.5, so it is what we print and plot. `strict`
    counts a tie as a loss: the share of comparisons in which the policy is preferred.
    """

    n: int  # prompts
    rate: float
    interval: Interval  # bootstrap over prompts
    strict: float
    tie_share: float
    mean_difference: float  # mean of score - baseline score, in the judge's points
    difference_interval: Interval  # bootstrap over prompts

    @property
    def strict_interval(self) -> Interval:
        """Wilson's interval, each prompt as one comparison: with several draws too wide rather than too narrow."""
        return wilson_interval(self.strict * self.n, self.n)

    @property
    def same_direction(self) -> bool:
        """Do win rate and mean difference agree on which policy is better? If not, look at the tie width."""
        return (self.rate - 0.5) * self.mean_difference >= 0

    @property
    def beats(self) -> str:
        """What the interval says, as the verb of a sentence: "beats", "loses to" or "cannot be told from"."""
        low, high = self.interval
        return "beats" if low > 0.5 else "loses to" if high < 0.5 else "cannot be told from"

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.rate:.2f} [{low:.2f}, {high:.2f}] (ties {self.tie_share:.2f})"


def comparisons(a: np.ndarray, b: np.ndarray, tie: float) -> np.ndarray:
    """Every draw against every draw: 1 for a win, 0.5 for a tie (difference at most `tie`), 0 for a loss, (n, K, L)."""
    if not tie >= 0:
        raise ValueError(f"The tie width must be 0 or more, in the judge's points; got {tie}.")
    difference = a[:, :, None] - b[:, None, :]
    # The hair beyond `tie` is rounding: 0.3 - 0.2 must tie at 0.1.
    return np.where(np.abs(difference) <= tie + 1e-9, 0.5, difference > 0)


def outcomes(scores: Numbers, baseline: Numbers, tie: float = 0.0) -> np.ndarray:
    """What each prompt says, (n,): the mean over all comparisons of its draws of 1 for a win, 0.5 for a tie, 0 for a
    loss. Arguments: `win_rate`'s."""
    return comparisons(*paired(scores, baseline), tie).mean((1, 2))


def win_rate(scores: Numbers, baseline: Numbers, tie: float = 0.0, seed: int = 0) -> WinRate:
    """Win rate of `scores` over `baseline`: on each prompt every draw against every draw, then the mean over prompts.

    scores, baseline: `judges.Scores`, or arrays of numbers (one part of the scores, say): (n,), or (n, K) and
    (n, L) for several draws a prompt. The intervals resample prompts: draws for one prompt are no news of others.
    tie: differences of at most this many points are ties; the gold judge's is `GoldJudge().tie`.
    """
    a, b = paired(scores, baseline)
    outcome = comparisons(a, b, tie)
    difference = a.mean(1) - b.mean(1)
    return WinRate(
        n=len(a),
        rate=float(outcome.mean()),
        interval=bootstrap_interval(outcome.mean((1, 2)), seed),
        strict=float((outcome == 1).mean()),
        tie_share=float((outcome == 0.5).mean()),
        mean_difference=float(difference.mean()),
        difference_interval=bootstrap_interval(difference, seed),
    )


def by_category(
    scores: Numbers, baseline: Numbers, categories: Sequence[str], tie: float = 0.0, seed: int = 0
) -> dict[str, WinRate]:
    """{category: WinRate}, in alphabetical order; `categories` (n,) names each prompt's. The rest: see `win_rate`."""
    a, b = paired(scores, baseline)
    if len(categories) != len(a):
        raise ValueError(f"There are {len(a)} prompts but {len(categories)} categories; give one for each.")
    categories = np.asarray(categories)
    rows = {str(category): categories == category for category in np.unique(categories)}
    return {category: win_rate(a[here], b[here], tie, seed) for category, here in rows.items()}
