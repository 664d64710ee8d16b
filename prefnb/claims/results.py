"""What the long runs gave, read from data/claims: scores by seed and prompt, and what can be said of them.

Every interval resamples seeds and prompts together (`evaluate.crossed_interval`). A policy of seed s is compared with
another one of seed s, so that what a seed's SFT policy and its pairs have in common cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from prefnb import evaluate, files, pocket
from prefnb.evaluate.intervals import Interval

FOLDER = pocket.DATA / "claims"
TIE = pocket.TIE
T95 = (np.inf, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # Student's 97.5% point, by seeds - 1
LOWEST = 1.0  # the score of saying nothing, which is what weights that have diverged say


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and prompts with its 95% interval; `null` is where there is no difference."""

    mean: float
    interval: Interval
    seeds: int
    null: float = 0.0

    @property
    def sign(self) -> int:
        """1 above `null`, -1 below, 0 where the interval cannot tell."""
        low, high = self.interval
        return (low > self.null) - (high < self.null)

    @property
    def turned(self) -> Estimate:
        """The win rate of the other side."""
        low, high = self.interval
        return Estimate(1 - self.mean, (1 - high, 1 - low), self.seeds, self.null)

    def __str__(self) -> str:
        plus, (low, high) = "" if self.null else "+", self.interval
        if np.isinf(low):
            return f"{self.mean:{plus}.3f} (one seed, which knows nothing of others)"
        return f"{self.mean:{plus}.3f} [{low:{plus}.3f}, {high:{plus}.3f}]"


class Results:
    """All that a folder of results holds: {arm: {seed: figures}}, and the grids."""

    def __init__(self, folder: Path = FOLDER):
        self.folder, self.arms, self.grids, self.methods = Path(folder), {}, {}, {}
        for path in sorted(self.folder.glob("*.json.gz")):
            try:
                found = files.read_json(path)
                self.grids |= found["grids"]
                for arm, seeds in found["arms"].items():
                    self.methods[arm] = found["method"]
                    self.arms[arm] = {int(seed): figures for seed, figures in seeds.items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                told = files.first_line(error)
                raise ValueError(f"{path} is damaged, or no results of `make claims` ({told}); restore it.") from None

    def __contains__(self, arm: str) -> bool:
        return arm in self.arms

    def seeds(self, *arms: str) -> list[int]:
        """The seeds that all of these arms have. KeyError with a sentence for an arm that is not there."""
        for arm in arms:
            if arm not in self.arms:
                raise KeyError(f"No results of '{arm}' are in {self.folder}: `make claims` makes them.")
        return sorted(set.intersection(*(set(self.arms[arm]) for arm in arms)))

    @cached_property
    def prompts(self) -> int:
        """How many test prompts were answered."""
        return len(self.arms["sft"][0]["scores"]) // 4

    @lru_cache(maxsize=None)  # noqa: B019
    def scores(self, arm: str, seed: int, name: str = "scores") -> np.ndarray:
        """The gold scores of a policy's answers, (n, K), 1 to 10; with "proxy" the reward model's."""
        found, unit = self.arms[arm][seed], {"scores": 10_000, "proxy": 100}[name]
        if "diverged" in found:
            return np.full((self.prompts, 1), LOWEST)
        return np.array(found[name]).reshape(self.prompts, -1) / unit

    def lengths(self, arm: str, seed: int) -> np.ndarray:
        """The tokens of its answers, (n, K)."""
        return np.array(self.arms[arm][seed]["lengths"]).reshape(self.prompts, -1)

    @lru_cache(maxsize=None)  # noqa: B019: there is one of these, for as long as a notebook is open
    def outcomes(self, arm: str, against: str = "sft", name: str = "scores") -> np.ndarray:
        """(S, n): what each prompt says of two policies of one seed, 1 for a win, .5 for a tie, 0 for a loss, the mean
        over all pairs of their answers."""
        tie = TIE if name == "scores" else 0.0
        both = [(self.scores(arm, seed, name), self.scores(against, seed, name)) for seed in self.seeds(arm, against)]
        return np.stack([evaluate.outcomes(a, b, tie) for a, b in both])

    def rate(self, arm: str, against: str = "sft", name: str = "scores") -> Estimate:
        """The win rate of one policy over another."""
        found = self.outcomes(arm, against, name)
        return Estimate(float(found.mean()), evaluate.crossed_interval(found), len(found), 0.5)

    def lead(self, arm: str, other: str, against: str = "sft", prompts: np.ndarray | None = None) -> Estimate:
        """By how much one policy's win rate over a third is above another's. prompts: only these, a boolean mask."""
        seeds = self.seeds(arm, other, against)
        rows = lambda one: [i for i, seed in enumerate(self.seeds(one, against)) if seed in seeds]  # noqa: E731
        found = self.outcomes(arm, against)[rows(arm)] - self.outcomes(other, against)[rows(other)]
        found = found if prompts is None else found[:, prompts]
        return Estimate(float(found.mean()), evaluate.crossed_interval(found), len(found))

    def gold(self, arm: str) -> Estimate:
        """The mean gold score of a policy's answers."""
        found = np.stack([self.scores(arm, seed).mean(1) for seed in self.seeds(arm)])
        return Estimate(float(found.mean()), evaluate.crossed_interval(found), len(found), LOWEST)

    def figure(self, arm: str, name: str) -> np.ndarray:
        """One figure of every seed, (S,): e.g. "kl.k3", "flaws.rambling", "held_out.wrong", "mean_length"; NaN where a
        seed has none."""
        found = []
        for seed in self.seeds(arm):
            value = self.arms[arm][seed]
            for part in name.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            found.append(np.nan if value is None else value)
        return np.array(found, dtype=float)

    def over_seeds(self, values: np.ndarray, null: float = 0.0) -> Estimate:
        """The mean of one number a seed, with Student's interval: infinite for one seed, which knows nothing of others."""
        values = np.asarray(values, dtype=float)
        spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 1.0
        half = T95[min(len(values), len(T95)) - 1] * spread
        return Estimate(
            float(values.mean()), (float(values.mean() - half), float(values.mean() + half)), len(values), null
        )

    def moved_wrongly(self, arm: str) -> np.ndarray:
        """(S, pairs): 1 for every held-out pair whose DPO reward is negative."""
        kept = [self.arms[arm][seed]["held_out"] for seed in self.seeds(arm)]
        return np.stack([(np.array(one["d_chosen"]) < np.array(one["d_rejected"])) * 1.0 for one in kept])

    def curve(self, arm: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(steps (t,), values (S, t)) of a thinned history, over the steps that all seeds have."""
        kept = [
            self.arms[arm][seed]["history"][name] for seed in self.seeds(arm) if name in self.arms[arm][seed]["history"]
        ]
        if not kept:
            raise KeyError(f"The history of '{arm}' has no '{name}'.")
        shortest = min(len(steps) for steps, _ in kept)
        return np.array(kept[0][0][:shortest]), np.array([values[:shortest] for _, values in kept])

    def settings(self, grid: str) -> dict:
        """What the best point of a grid was."""
        return max(self.grids[grid].values(), key=lambda one: one["gold"])["settings"]
