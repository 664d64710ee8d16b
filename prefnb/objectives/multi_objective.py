"""One number from several scores: what lets REINFORCE or RLOO learn from more than one objective (001 §3.3, §6.3).

A response has a score in each of k objectives: a row of `scores`, (n, k), higher being better. Every function here
makes of the rows one reward each, (n,), for any k; `weights`, (k,), says how much each objective matters. They are
differentiable, and take numbers, lists or tensors for weights and ideals.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

# ---------------------------------------------------------------- rules that somebody sets by hand


def gaps(scores: torch.Tensor, ideal=1.0) -> torch.Tensor:
    """g_i = |s_i - ideal_i|, (n, k): how far each score is from its ideal (001 §3.3). ideal: one for all, or (k,)."""
    scores = _vectors(scores)
    ideal = torch.as_tensor(ideal, dtype=scores.dtype, device=scores.device)
    if ideal.ndim and len(ideal) != scores.shape[1]:
        raise ValueError(
            f"There are {len(ideal)} ideals for {scores.shape[1]} objectives; give one each, or one for all."
        )
    return (scores - ideal).abs()


def weighted_gaps(gaps: torch.Tensor, weights) -> torch.Tensor:
    """-sum_i w_i g_i, (n,): the reward that 001 §3.3 trains with. Never above 0, which is where every ideal is met."""
    return -_weighted(gaps, weights).sum(1)


def soft_chebyshev(gaps: torch.Tensor, weights, tau: float) -> torch.Tensor:
    """-(1/tau) log sum_i exp(tau w_i g_i), (n,): nearly the worst weighted gap alone, -max_i w_i g_i (001 §3.3).

    The larger tau, the nearer: it lies below -max by at most log(k) / tau. ValueError for a tau of 0 or less.
    """
    if not tau > 0:
        raise ValueError(f"tau={tau!r} must be above 0: the larger it is, the more the worst gap alone counts.")
    return -torch.logsumexp(tau * _weighted(gaps, weights), 1) / tau


def linear(scores: torch.Tensor, weights) -> torch.Tensor:
    """sum_i w_i s_i, (n,): with two weights a and 1 - a the reward of 001 §6.3.1."""
    return _weighted(scores, weights).sum(1)


# ---------------------------------------------------------------- a rule learnt from preferences


def features(scores: torch.Tensor) -> torch.Tensor:
    """phi(r), (n, k + k (k + 1) / 2): the scores, then every product of two of them, squares included."""
    scores = _vectors(scores)
    first, second = torch.triu_indices(scores.shape[1], scores.shape[1])
    return torch.cat([scores, scores[:, first] * scores[:, second]], 1)


def feature_names(objectives) -> list[str]:
    """What the columns of `features` are, for objectives of these names."""
    k, names = len(objectives), list(objectives)
    return names + [f"{names[i]} × {names[j]}" for i in range(k) for j in range(i, k)]


@dataclass(frozen=True)
class PreferenceFunction:
    """f(r) = w^T phi(r), the learned preference function (001 §6.3.2); phi standardised by `mean` and `scale`, so that
    the weights, (features,), can be compared with one another. Call it on scores (n, k) for (n,)."""

    weights: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    def phi(self, scores: torch.Tensor) -> torch.Tensor:
        """The standardised features, (n, features)."""
        return (features(scores) - self.mean.to(scores)) / self.scale.to(scores)

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        return self.phi(scores) @ self.weights.to(scores)


def preference_function_loss(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """-log sigma(f(r+) - f(r-)), (n,), from the values (n,) of f on both sides (001 §6.3.2).

    What it trains is f: no policy appears in it. f then serves as the reward of RLOO or GRPO.
    """
    return -logsigmoid(chosen - rejected)


def fit_preference(
    chosen: torch.Tensor, rejected: torch.Tensor, *, ridge: float = 1e-2, steps: int = 50
) -> PreferenceFunction:
    """The f of least mean `preference_function_loss` + ridge/2 |w|^2 on pairs of score vectors, both (n, k).

    Newton's method: the loss is convex in w, the ridge makes its minimum one point (also where the pairs can be told
    apart without an error), so nothing depends on a seed. It is small, so it is found on the CPU. ValueError for sides
    of different shape or a ridge of 0.
    """
    chosen, rejected = _vectors(chosen).double().cpu(), _vectors(rejected).double().cpu()
    if chosen.shape != rejected.shape or len(chosen) == 0:
        raise ValueError(
            f"Chosen scores {tuple(chosen.shape)} and rejected scores {tuple(rejected.shape)} are no pairs: give a row "
            "for both sides of each of at least one pair."
        )
    if not ridge > 0:
        raise ValueError(
            f"ridge={ridge!r} must be above 0: without it pairs that f can all tell apart make w infinite."
        )
    both = features(torch.cat([chosen, rejected]))
    scale = both.std(0, correction=0)
    unfitted = PreferenceFunction(
        torch.zeros(both.shape[1], dtype=both.dtype),
        both.mean(0),
        torch.where(scale > 1e-9, scale, torch.ones_like(scale)),
    )
    difference = unfitted.phi(chosen) - unfitted.phi(rejected)  # f(r+) - f(r-) = difference @ w
    return PreferenceFunction(_newton(difference, ridge, steps), unfitted.mean, unfitted.scale)


def _newton(difference: torch.Tensor, ridge: float, steps: int) -> torch.Tensor:
    """The w of least mean(-log sigma(difference @ w)) + ridge/2 |w|^2."""
    n, m = difference.shape
    loss = lambda w: -logsigmoid(difference @ w).mean() + ridge / 2 * w @ w  # noqa: E731
    w = torch.zeros(m, dtype=difference.dtype)
    for _ in range(steps):
        wrong = torch.sigmoid(-difference @ w)  # how sure f is of the wrong side
        gradient = -difference.T @ wrong / n + ridge * w
        hessian = (difference.T * (wrong * (1 - wrong))) @ difference / n + ridge * torch.eye(m, dtype=w.dtype)
        step = torch.linalg.solve(hessian, gradient)
        while loss(w - step) > loss(w) + 1e-12:  # overshot
            step = step / 2
        w = w - step
        if step.abs().max() < 1e-10:
            break
    return w


# ---------------------------------------------------------------- checks


def _vectors(scores) -> torch.Tensor:
    scores = torch.as_tensor(scores)
    if scores.ndim != 2:
        raise ValueError(f"Scores of shape {tuple(scores.shape)} are no score vectors: give (responses, objectives).")
    return scores if scores.is_floating_point() else scores.float()


def _weighted(values, weights) -> torch.Tensor:
    values = _vectors(values)
    weights = torch.as_tensor(weights, dtype=values.dtype, device=values.device)
    if weights.shape != values.shape[1:]:
        raise ValueError(f"There are {weights.numel()} weights for {values.shape[1]} objectives; give one each.")
    if not (weights >= 0).all():
        raise ValueError(f"Weights must be 0 or more, not {weights.tolist()}: a negative one would reward what is bad.")
    return values * weights
