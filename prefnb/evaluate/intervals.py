"""Intervals of 95% for shares and means, and what they allow one to say."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

Z95 = 1.959964  # the normal distribution's 97.5% point
Interval = tuple[float, float]  # (low, high)


def wilson_interval(wins: float, n: int) -> Interval:
    """Wilson's 95% interval of a proportion `wins / n`: honest for few trials and at 0 or n wins."""
    p, z2 = wins / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half_width = Z95 / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, float(centre - half_width)), min(1.0, float(centre + half_width))


def bootstrap_interval(values: ArrayLike, seed: int = 0, resamples: int = 1000) -> Interval:
    """95% percentile interval of the mean of `values`: resample rows with replacement, many times.

    values: (n,), or (n, K) for K draws a prompt; the rows, i.e. prompts, are what is resampled. Their order does not
    matter.
    """
    values = np.asarray(values, dtype=float)
    values = np.sort(values.reshape(len(values), -1).mean(1))
    rows = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.percentile(values[rows].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def mean_and_interval(values: ArrayLike, seed: int = 0) -> str:
    """The mean of `values`, (n,) or (n, K), with its 95% interval, as text: "+0.31 [+0.12, +0.50]"."""
    values = np.asarray(values, dtype=float)
    low, high = bootstrap_interval(values, seed)
    return f"{values.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def change(values: ArrayLike, seed: int = 0) -> str:
    """What became of a quantity, in words, from the interval of its changes, (n,) or (n, K)."""
    low, high = bootstrap_interval(values, seed)
    return "fell" if high < 0 else "rose" if low > 0 else "did not move by more than chance"


def verdict(interval: Interval, null: float = 0.5) -> str:
    """What a 95% interval (low, high) says about the claim that the measured thing lies above `null`."""
    low, high = interval
    return "holds here" if low > null else "does not hold here" if high < null else "cannot be told"
