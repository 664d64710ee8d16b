"""Multi-objective: one reward made of several scores, for REINFORCE or RLOO to learn from (001 §3.3, §6.3).

A response has a score in each of k objectives: a row of `scores`, (n, k), higher being better. Every rule makes of the
rows one reward each, (n,), for any k; `weights`, (k,), says how much each objective matters. Rules are differentiable,
and take numbers, lists or tensors for weights and ideals.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Callable, Literal, Sequence

import torch
from torch.nn.functional import logsigmoid

from prefnb import data, parameters
from prefnb.course.policies import Trained
from prefnb.course.settings import FromRewards
from prefnb.judges import Brevity, Combined, Judge, Probability, RewardModel, Scores, Several
from prefnb.methods._rewards import learn_from_rewards
from prefnb.methods.reward_model import proxy
from prefnb.methods.rloo import leave_one_out, plain, reinforce
from prefnb.parameters import ModelName, setting

LABEL = "multi-objective"
COLOUR = "#DDCC77"

# ---------------------------------------------------------------- rules that somebody sets by hand


def gaps(scores: torch.Tensor, ideal: float | Sequence[float] | torch.Tensor = 1.0) -> torch.Tensor:
    """g_i = |s_i - ideal_i|, (n, k): how far each score is from its ideal (001 §3.3). ideal: one for all, or (k,)."""
    scores = _vectors(scores)
    ideal = torch.as_tensor(ideal, dtype=scores.dtype, device=scores.device)
    if ideal.ndim and len(ideal) != scores.shape[1]:
        raise ValueError(
            f"There are {len(ideal)} ideals for {scores.shape[1]} objectives; give one each, or one for all."
        )
    return (scores - ideal).abs()


def weighted_gaps(gaps: torch.Tensor, weights: Sequence[float] | torch.Tensor) -> torch.Tensor:
    """-sum_i w_i g_i, (n,): the reward that 001 §3.3 trains with. Never above 0, which is where every ideal is met."""
    return -_weighted(gaps, weights).sum(1)


def soft_chebyshev(gaps: torch.Tensor, weights: Sequence[float] | torch.Tensor, tau: float) -> torch.Tensor:
    """-(1/tau) log sum_i exp(tau w_i g_i), (n,): nearly the worst weighted gap alone, -max_i w_i g_i (001 §3.3).

    The larger tau, the nearer: it lies below -max by at most log(k) / tau. ValueError for a tau of 0 or less.
    """
    if not tau > 0:
        raise ValueError(f"tau={tau!r} must be above 0: the larger it is, the more the worst gap alone counts.")
    return -torch.logsumexp(tau * _weighted(gaps, weights), 1) / tau


def linear(scores: torch.Tensor, weights: Sequence[float] | torch.Tensor) -> torch.Tensor:
    """sum_i w_i s_i, (n,): with two weights a and 1 - a the reward of 001 §6.3.1."""
    return _weighted(scores, weights).sum(1)


# ---------------------------------------------------------------- a rule learnt from preferences


def features(scores: torch.Tensor) -> torch.Tensor:
    """phi(r), (n, k + k (k + 1) / 2): the scores, then every product of two of them, squares included."""
    scores = _vectors(scores)
    first, second = torch.triu_indices(scores.shape[1], scores.shape[1])
    return torch.cat([scores, scores[:, first] * scores[:, second]], 1)


def feature_names(objectives: Sequence[str]) -> list[str]:
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


# ---------------------------------------------------------------- the method


class RuleSettings(FromRewards):
    """What every rule shares: the settings of a notebook that compares rules. 001 §3.3: both objectives weigh the same."""

    pairs: int = setting("preference pairs that a rule is learnt from", low=1, pocket=1536, qwen=2000)
    kl_weight: float = setting("price of moving away from the reference", low=0, high=100, every=0.0)
    weights: list[float] = setting("one for each objective that counts", low=0, high=1000, every=[0.5, 0.5])
    tau: float = setting("sharpness of the soft Chebyshev rule", above=0, high=1e6, every=10.0)
    helpfulness_model: ModelName | None = setting(
        "a reward model (None: the data's own judge, or a proxy)",
        pocket=None,
        qwen="OpenAssistant/reward-model-deberta-v3-large-v2",
    )
    fluency_model: ModelName | None = setting(
        "a classifier (None: the data's own judge, or brevity)", pocket=None, qwen="4i-ai/BERT_disfluency_cls"
    )
    # as others who use that model read it; its card names no classes, so try a sentence of each kind first
    fluent_class: int = setting("the fluent one of a classifier's two classes", low=0, high=1, every=1)


class Settings(RuleSettings):
    combine: Literal["weighted_gaps", "linear", "chebyshev", "learned"] = setting("the rule", every="weighted_gaps")
    baseline: Literal["leave_one_out", "none"] = setting("what is taken from a reward", every="leave_one_out")


def recipe(**given) -> Trained:
    """A policy trained on one reward made of several, from the SFT policy, with `Settings`.

    combine="weighted_gaps" with baseline="none" is the loss that 001 §3.3 prints; "linear" is §6.3.1, "learned" the
    preference function of §6.3.2 fitted on `pairs` pairs.
    """
    p = parameters.check(given, Settings)

    def make_judge() -> Combined:
        judge = parts_judge(p)
        return Combined(judge, combiner(p, judge))

    advantages = plain if p.baseline == "none" else leave_one_out
    objective = partial(reinforce, kl_weight=p.kl_weight)
    return learn_from_rewards("multi_objective", p, make_judge, advantages, objective)


def parts_judge(p: RuleSettings) -> Judge:
    """The judge whose parts are the objectives, each in 0..1 with an ideal of 1.

    In the pocket world it is the gold judge. Elsewhere helpfulness is `p.helpfulness_model`'s score, or that of the
    proxy trained on `p.dataset`, and fluency `p.fluency_model`'s; without that model brevity stands in for it.
    """
    gold = data.Source(p.dataset).judge
    if gold and p.helpfulness_model is None and p.fluency_model is None:
        return gold
    helpfulness = RewardModel.load(p.helpfulness_model) if p.helpfulness_model else proxy(p)
    if p.fluency_model is None:
        print("No fluency_model is given: the second objective is brevity, exp(-words / 100).")
        return Several({"helpfulness": Probability(helpfulness), "brevity": Brevity()})
    fluency = RewardModel.load(p.fluency_model, reads="response", positive=p.fluent_class)
    return Several({"helpfulness": Probability(helpfulness), "fluency": Probability(fluency)})


def score_vectors(parts: dict, k: int | None = None) -> torch.Tensor:
    """A judge's parts as score vectors (n, k), of the first k objectives or of all."""
    return torch.stack([torch.as_tensor(part).double() for part in parts.values()][:k], 1)


def scored_pairs(
    judge: Callable, dataset: str, split: str = "train", limit: int | None = None, seed: int = 0
) -> tuple[Scores, Scores]:
    """(judge's `Scores` of the chosen responses, of the rejected ones) for a split's preference pairs."""
    rows = data.Source(dataset).pairs(split, limit=limit, seed=seed)
    return judge(rows["prompt"][:], rows["chosen"][:]), judge(rows["prompt"][:], rows["rejected"][:])


def combiner(p: Settings, judge: Callable) -> Callable:
    """`reward(parts)`, (n,): how `p.combine` makes one number of as many objectives as there are `p.weights`."""
    k = len(p.weights)

    def scores(parts: dict) -> torch.Tensor:
        if k > len(parts):
            raise ValueError(f"There are {k} weights, but the judge has {len(parts)} objectives: {', '.join(parts)}.")
        return score_vectors(parts, k)

    if p.combine == "learned":
        chosen, rejected = scored_pairs(judge, p.dataset, limit=p.pairs, seed=p.seed)
        f = fit_preference(scores(chosen.parts), scores(rejected.parts))
        return lambda parts: f(scores(parts))
    if p.combine == "linear":
        return lambda parts: linear(scores(parts), p.weights)
    if p.combine == "chebyshev":
        return lambda parts: soft_chebyshev(gaps(scores(parts)), p.weights, p.tau)
    return lambda parts: weighted_gaps(gaps(scores(parts)), p.weights)
