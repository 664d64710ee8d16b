"""Two policies on the same prompts: is their difference more than chance?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefnb.evaluate._numbers import Numbers, paired
from prefnb.evaluate.intervals import Interval, bootstrap_interval


@dataclass(frozen=True)
class PairedTest:
    """The mean difference of two policies over the same n prompts, and how often chance alone makes one as large."""

    n: int
    difference: float  # mean of a - b
    interval: Interval  # 95%, bootstrap over prompts
    p: float  # two-sided

    def __str__(self) -> str:
        low, high = self.interval
        p = f"p = {self.p:.3f}" if self.p >= 0.001 else "p < 0.001"
        return f"{self.difference:+.3f} [{low:+.3f}, {high:+.3f}], {p}"


def paired_test(a: Numbers, b: Numbers, seed: int = 0, resamples: int = 10_000) -> PairedTest:
    """Sign-flip permutation test of two policies' numbers for the same prompts: `outcomes` over a baseline, or scores.

    a, b: (n,), or (n, K) and (n, L), whose means over the draws count. If neither policy were better, each prompt's
    difference could as well have had the other sign: p is the share of sign patterns whose mean is as far from 0 as the
    one found. Of all patterns of the m differences that are not 0 where these are at most `resamples`, else of so many
    drawn ones with the one found among them (Phipson & Smyth 2010).
    """
    a, b = paired(a, b)
    difference = a.mean(1) - b.mean(1)
    flipped = _signs(np.flatnonzero(difference).size, seed, resamples) @ difference[difference != 0]
    as_far = np.abs(flipped) >= np.abs(difference.sum()) - 1e-9  # the hair is rounding
    return PairedTest(
        len(difference), float(difference.mean()), bootstrap_interval(difference, seed), float(as_far.mean())
    )


def _signs(m: int, seed: int, resamples: int) -> np.ndarray:
    """Patterns of m signs, one a row: all 2^m, or `resamples` of which the first has every sign as it was."""
    if 2**m <= resamples:
        bits = np.arange(2**m)[:, None] >> np.arange(m) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (resamples, m), dtype=np.int8)
        bits[0] = 0
    return 1 - 2 * bits
