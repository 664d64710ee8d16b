"""Seeds and prompts: how far a mean may lie from that over other seeds and other prompts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from prefnb.evaluate.intervals import Interval, bootstrap_interval


@dataclass(frozen=True)
class Crossed:
    """A mean over S seeds and n prompts, and three 95% intervals for it, of which the first is the one to believe."""

    mean: float
    interval: Interval  # other seeds and other prompts
    prompts_only: Interval  # other prompts for these very policies: too narrow for a method
    seeds_only: Interval | None  # other seeds on these very prompts: too narrow for a task; None of one seed

    def __str__(self) -> str:
        shown = {"prompts only": self.prompts_only, "seeds only": self.seeds_only}
        others = ", ".join(f"{name} [{i[0]:.3f}, {i[1]:.3f}]" for name, i in shown.items() if i)
        return f"{self.mean:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}] ({others})"


def crossed(values: ArrayLike, seed: int = 0, resamples: int = 1000) -> Crossed:
    """The mean of `values`, (S, n), with `crossed_interval`, and with the intervals of who resamples its columns, the
    prompts, or its rows, the seeds, alone."""
    values = _by_seed(values)
    return Crossed(
        mean=float(values.mean()),
        interval=crossed_interval(values, seed, resamples),
        prompts_only=bootstrap_interval(values.mean(0), seed, resamples),
        seeds_only=bootstrap_interval(values.mean(1), seed, resamples) if len(values) > 1 else None,
    )


def crossed_interval(values: ArrayLike, seed: int = 0, resamples: int = 1000) -> Interval:
    """95% percentile interval of the mean of `values`, (S, n): one number for each of S seeds and n prompts.

    Seeds and prompts are resampled together, each with replacement and apart from the other: the pigeonhole bootstrap
    (Owen 2007). Neither's order matters; one seed leaves the bootstrap over prompts. ValueError for another shape or
    numbers that are not finite.

    What a seed does to one prompt alone is counted three times, so that the interval is rather too wide. It is too
    narrow where few seeds differ by more than the prompts' error, as is any bootstrap of few numbers: with five seeds
    and nothing but their differences, 95% are in truth about 84%.
    """
    values = _by_seed(values)
    values = values[np.lexsort(np.sort(values).T)]
    values = values[:, np.lexsort(values)]
    of_seeds, of_prompts = resampled(*values.shape, resamples, seed)
    means = ((of_seeds @ values) * of_prompts).sum(1) / values.size
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@lru_cache(maxsize=8)  # whoever compares many policies asks for the same ones again and again
def resampled(seeds: int, prompts: int, resamples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """How often each seed and each prompt is drawn in each resample: (resamples, seeds) and (resamples, prompts)."""
    rng = np.random.default_rng(seed)
    return tuple(rng.multinomial(n, np.full(n, 1 / n), size=resamples) for n in (seeds, prompts))


def _by_seed(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"Give a finite number for each seed and prompt, as (seeds, prompts), not {values.shape}.")
    return values
