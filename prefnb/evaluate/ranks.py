"""Ranks as ranges: an order of many policies, and how much of it other prompts and seeds would turn round."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from prefnb.evaluate._numbers import Numbers
from prefnb.evaluate.seeds import resampled
from prefnb.evaluate.win_rates import outcomes

HAIR = 1e-9  # log-odds: where the fit stops
ALIKE = 1e-6  # log-odds: policies this near share a rank
STEPS = 100_000


class Rank(NamedTuple):
    """A policy's place among others; 1 is the best. Each range of 95% is for one policy, not for all at once."""

    strength: float  # log-odds of a win over a policy of mean strength
    rank: int
    lowest: int  # the smallest number, i.e. the best place, in 95% of the resamples, or the rank itself ...
    highest: int  # ... and the largest number, the worst place

    def __str__(self) -> str:
        return f"{self.rank} ({self.lowest} to {self.highest})"


def bradley_terry(wins: ArrayLike) -> np.ndarray:
    """Strengths (k,) for which P(i beats j) = sigma(strength_i - strength_j) fits best, in log-odds with mean 0.

    wins: (k, k), how often i beat j, in counts or, where every pair met equally often, shares; a tie is half a win for
    both, and the diagonal is not read. (..., k, k) are as many fits at once. The MM algorithm (Hunter 2004).
    ValueError if some policies never won against the others: no finite strengths fit that.
    """
    wins = np.array(wins, dtype=float)
    if wins.ndim < 2 or wins.shape[-1] != wins.shape[-2] or wins.shape[-1] < 2:
        raise ValueError(f"The wins of two policies or more are a square table, not {wins.shape}.")
    wins[..., range(wins.shape[-1]), range(wins.shape[-1])] = 0
    if not _connected(wins).all():
        raise ValueError("Some policies never won against the others, or never lost; there is no finite strength then.")
    met, won = wins + wins.swapaxes(-1, -2), wins.sum(-1)
    strength = np.zeros_like(won)
    for _ in range(STEPS):
        power = np.exp(strength)
        new = np.log(won / (met / (power[..., :, None] + power[..., None, :])).sum(-1))
        new -= new.mean(-1, keepdims=True)
        if np.abs(new - strength).max() < HAIR:
            return new
        strength = new
    raise FloatingPointError("The strengths have not settled: some policies hardly ever won against the others.")


def rank_ranges(scores: dict[str, Numbers], tie: float = 0.0, resamples: int = 200, seed: int = 0) -> dict[str, Rank]:
    """{label: Rank}, the best first: Bradley-Terry of every draw against every draw, and again in every resample.

    scores: {label: (S, n, K)}, the scores of K draws for n prompts by the policies of S seeds, (n, K) for one. All have
    the same prompts, and each seed's policies meet one another only; a policy with one seed meets every seed of the
    others. A resample is of prompts and seeds together, as in `crossed_interval`, the same for all policies. tie:
    differences of at most this many points count as half. One tie is added to each pair, as if on one prompt more:
    without it a policy that loses everywhere has no finite strength.
    """
    if len(scores) < 2:
        raise ValueError("Ranks are of two policies or more.")
    of_pairs = _outcomes_by_pair(scores, tie)
    strength = bradley_terry(of_pairs.mean(2).sum(-1) + 0.5)
    ranks, again = _ranks(strength), _ranks(bradley_terry(_wins_again(of_pairs, resamples, seed) + 0.5))
    low, high = np.percentile(again, [2.5, 97.5], axis=0, method="inverted_cdf")
    columns = strength, ranks, np.minimum(low, ranks), np.maximum(high, ranks)
    found = {label: Rank(float(one), *map(int, places)) for label, one, *places in zip(scores, *columns)}
    return dict(sorted(found.items(), key=lambda one: one[1].rank))


def _wins_again(of_pairs: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """The prompts that i won of j in each resample, the mean over its seeds: (resamples, k, k)."""
    k, _, seeds, prompts = of_pairs.shape
    of_seeds, of_prompts = resampled(seeds, prompts, resamples, seed)
    of_each_seed = (of_pairs.reshape(-1, prompts) @ of_prompts.T).reshape(k * k, seeds, resamples)
    return np.einsum("psr,rs->rp", of_each_seed, of_seeds).reshape(resamples, k, k) / seeds


def _outcomes_by_pair(scores: dict[str, Numbers], tie: float) -> np.ndarray:
    """What each prompt of each seed says of policy i against policy j, as `outcomes`: (k, k, S, n)."""
    arrays = [_by_seed(label, one) for label, one in scores.items()]
    shape = max(map(len, arrays)), arrays[0].shape[1]
    if any(len(one) not in (1, shape[0]) or one.shape[1] != shape[1] for one in arrays):
        told = ", ".join(f"{label} {one.shape[:2]}" for label, one in zip(scores, arrays))
        raise ValueError(f"Ranks need the same prompts of all, and seeds as many or one; (seeds, prompts): {told}.")
    same = [np.broadcast_to(one, (*shape, one.shape[2])).reshape(-1, one.shape[2]) for one in arrays]
    found = np.full((len(same), len(same), *shape), 0.5)
    for i, j in combinations(range(len(same)), 2):
        found[i, j] = outcomes(same[i], same[j], tie).reshape(shape)
        found[j, i] = 1 - found[i, j]
    return found


def _by_seed(label: str, scores: Numbers) -> np.ndarray:
    """Scores as (S, n, K)."""
    found = np.asarray(getattr(scores, "total", scores), dtype=float)
    if found.ndim not in (2, 3) or found.size == 0:
        raise ValueError(
            f"The scores of '{label}' must be (seeds, prompts, draws) or without seeds, not {found.shape}."
        )
    return found if found.ndim == 3 else found[None]


def _ranks(strength: np.ndarray) -> np.ndarray:
    """1 and the number of policies that are stronger, (..., k)."""
    return 1 + (strength[..., None, :] > strength[..., :, None] + ALIKE).sum(-1)


def _connected(wins: np.ndarray) -> np.ndarray:
    """Whether everybody has beaten everybody, at least by way of others: bool (...)."""
    reach = (wins > 0) | np.eye(wins.shape[-1], dtype=bool)
    for _ in range(wins.shape[-1].bit_length()):  # each round doubles the length of the ways
        reach = np.matmul(reach.astype(np.float32), reach.astype(np.float32)) > 0
    return reach.all((-1, -2))
