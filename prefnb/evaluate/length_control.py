"""Length control: what a win rate would be if nobody wrote longer answers than the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prefnb.evaluate._numbers import Numbers, by_prompt, paired
from prefnb.evaluate.intervals import Z95, Interval
from prefnb.evaluate.win_rates import comparisons

RIDGE = 0.01  # small: it keeps a and b finite where all are wins, or exactly the longer answers win
SEEN = 0.005  # of a rate: less is not seen in two decimals, and may be the ridge's


@dataclass(frozen=True)
class LengthControlled:
    """A win rate as it would be if both policies answered at the same length."""

    rate: float
    interval: Interval
    raw: float  # the uncontrolled win rate, ties as half
    length_effect: float  # log-odds for being much longer than the baseline; above 0, length wins

    @property
    def parts(self) -> bool:
        """Does the uncontrolled rate lie outside the controlled one's interval? Then it speaks of length too."""
        low, high = self.interval
        return not low - SEEN <= self.raw <= high + SEEN

    def __str__(self) -> str:
        low, high = self.interval
        by = "flattered" if self.raw > self.rate else "held back"
        warning = f", {by} by the lengths of its answers" if self.parts else ""
        return f"{self.rate:.2f} [{low:.2f}, {high:.2f}] (uncontrolled {self.raw:.2f}{warning})"


def length_controlled_win_rate(
    scores: Numbers, baseline: Numbers, lengths: Numbers, baseline_lengths: Numbers, tie: float = 0.0
) -> LengthControlled:
    """The win rate at equal lengths: fit logit P(win) = a + b tanh(difference / its s.d.), read sigma(a).

    scores, baseline, tie: `win_rate`'s; the lengths have the shapes of the scores, (n,) or (n, K). The idea of Dubois
    et al. 2024 (length-controlled AlpacaEval), without their per-prompt difficulty term. A tie counts as half a win,
    and a prompt's comparisons together count as one. Where the difference in length never varies there is nothing to
    control for, and the rate is the raw one. The interval is the normal one of `a`, carried through sigma; with several
    draws, whose mean varies less than one comparison, it is too wide rather than too narrow.
    """
    a, b = paired(scores, baseline)
    a_lengths, b_lengths = by_prompt(lengths, "lengths"), by_prompt(baseline_lengths, "baseline lengths")
    if a_lengths.shape != a.shape or b_lengths.shape != b.shape:
        raise ValueError(
            f"Give one length for each score: the shapes (prompts, draws) are {a.shape} for scores and "
            f"{a_lengths.shape} for lengths, {b.shape} and {b_lengths.shape} for the baseline's."
        )
    outcome = comparisons(a, b, tie)
    difference = (a_lengths[:, :, None] - b_lengths[:, None, :]).ravel()
    spread = difference.std()
    # Divided by the spread but not centred: 0 has to stay "the same length".
    longer = np.tanh(difference / spread) if spread > 0 else np.zeros_like(difference)
    features = np.stack([np.ones_like(longer), longer], axis=1)
    weights, covariance = _fit_logistic(features, outcome.ravel(), RIDGE, len(a) / outcome.size)
    intercept, error = weights[0], np.sqrt(covariance[0, 0])
    low, high = _sigmoid(intercept - Z95 * error), _sigmoid(intercept + Z95 * error)
    return LengthControlled(
        float(_sigmoid(intercept)), (float(low), float(high)), float(outcome.mean()), float(weights[1])
    )


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(np.asarray(x) / 2))  # never overflows


def _fit_logistic(features, target, ridge, weight=1.0, steps=50):
    """Ridge logistic regression by Newton's method, each row counting `weight`: weights (k,), covariance (k, k)."""

    def loss(w):
        x = features @ w
        return weight * (np.logaddexp(0, x) - target * x).sum() + ridge / 2 * (w @ w)

    weights = np.zeros(features.shape[1])
    for _ in range(steps):
        p = _sigmoid(features @ weights)
        gradient = weight * features.T @ (p - target) + ridge * weights
        hessian = weight * (features.T * (p * (1 - p))) @ features + ridge * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        while loss(weights - step) > loss(weights) + 1e-9:  # overshot, as Newton may on separable data
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return weights, np.linalg.inv(hessian)
