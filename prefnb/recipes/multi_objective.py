"""Several objectives at once: one reward made of their scores, for REINFORCE or RLOO to learn from (001 §3.3, §6.3)."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Callable

import torch

from prefnb import data, parameters
from prefnb.judges import Brevity, Combined, GoldJudge, Probability, RewardModel, Several
from prefnb.objectives import multi_objective as rules
from prefnb.objectives import policy_gradient as objectives
from prefnb.parameters import Choice, Number, Numbers, Schema, Source, Whole
from prefnb.recipes.common import Trained
from prefnb.recipes.policy_gradient import RLOO, learn_from_rewards
from prefnb.recipes.reward import reward_judge

_FIELDS = {
    **{name: kind for name, kind in RLOO.fields.items() if name != "reward"},
    "weights": Numbers(0, 1000),  # one for each objective that counts, in the judge's order
    "tau": Number(above=0, high=1e6),
    "helpfulness_model": Source("folder"),
    "fluency_model": Source("folder"),
    "fluent_class": Whole(0, 1),  # of a fluency model with two classes
}


def _preset(name: str, **own) -> dict:
    shared = {key: value for key, value in RLOO.presets[name].items() if key != "reward"}
    return {**shared, "kl_weight": 0.0, "weights": [0.5, 0.5], "tau": 10.0, **own}


OBJECTIVES = Schema(  # what every rule shares: the parameters of a notebook that compares rules
    _FIELDS,
    {
        "pocket": _preset(
            "pocket",
            pairs=1536,
            steps=60,
            learning_rate=6e-4,
            helpfulness_model=None,
            fluency_model=None,
            fluent_class=1,
        ),
        "qwen": _preset(  # 001 §3.3: both objectives weigh the same
            "qwen",
            pairs=2000,
            helpfulness_model="OpenAssistant/reward-model-deberta-v3-large-v2",
            fluency_model="4i-ai/BERT_disfluency_cls",
            fluent_class=1,  # as others who use it read it; its card names no classes, so try a sentence of each kind first
        ),
    },
)
_RULE = dict(combine="weighted_gaps", baseline="leave_one_out")
MULTI_OBJECTIVE = Schema(
    {
        **_FIELDS,
        "combine": Choice("weighted_gaps", "linear", "chebyshev", "learned"),
        "baseline": Choice("leave_one_out", "none"),
    },
    {name: {**preset, **_RULE} for name, preset in OBJECTIVES.presets.items()},
)


def multi_objective(**given) -> Trained:
    """A policy trained on one reward made of several, with `MULTI_OBJECTIVE`'s parameters.

    combine="weighted_gaps" with baseline="none" is the loss that 001 §3.3 prints; "linear" is §6.3.1, "learned" the
    preference function of §6.3.2 fitted on `pairs` pairs.
    """
    p = parameters.check(given, MULTI_OBJECTIVE)

    def make_judge() -> Combined:
        judge = parts_judge(p)
        return Combined(judge, combiner(p, judge))

    advantages = objectives.plain if p.baseline == "none" else objectives.leave_one_out
    objective = partial(objectives.reinforce, kl_weight=p.kl_weight)
    return learn_from_rewards("multi_objective", p, make_judge, advantages, objective)


def parts_judge(p: SimpleNamespace):
    """The judge whose parts are the objectives, each in 0..1 with an ideal of 1.

    In the pocket world it is the gold judge. Elsewhere helpfulness is `p.helpfulness_model`'s score, or that of the
    proxy trained on `p.dataset`, and fluency `p.fluency_model`'s; without that model brevity stands in for it.
    """
    if data.is_pocket(p.dataset) and p.helpfulness_model is None and p.fluency_model is None:
        return GoldJudge()
    helpfulness = RewardModel.load(p.helpfulness_model) if p.helpfulness_model else reward_judge(p)
    if p.fluency_model is None:
        print("No fluency_model is given: the second objective is brevity, exp(-words / 100).")
        return Several({"helpfulness": Probability(helpfulness), "brevity": Brevity()})
    fluency = RewardModel.load(p.fluency_model, reads="response", positive=p.fluent_class)
    return Several({"helpfulness": Probability(helpfulness), "fluency": Probability(fluency)})


def score_vectors(parts: dict, k: int | None = None) -> torch.Tensor:
    """A judge's parts as score vectors (n, k), of the first k objectives or of all."""
    return torch.stack([torch.as_tensor(part).double() for part in parts.values()][:k], 1)


def scored_pairs(judge: Callable, dataset: str, split: str = "train", limit: int | None = None, seed: int = 0):
    """(judge's `Scores` of the chosen responses, of the rejected ones) for a split's preference pairs."""
    rows = data.load_pairs(dataset, split, limit=limit, seed=seed)
    return judge(rows["prompt"][:], rows["chosen"][:]), judge(rows["prompt"][:], rows["rejected"][:])


def combiner(p: SimpleNamespace, judge: Callable) -> Callable:
    """`reward(parts)`, (n,): how `p.combine` makes one number of as many objectives as there are `p.weights`."""
    k = len(p.weights)

    def scores(parts: dict) -> torch.Tensor:
        if k > len(parts):
            raise ValueError(f"There are {k} weights, but the judge has {len(parts)} objectives: {', '.join(parts)}.")
        return score_vectors(parts, k)

    if p.combine == "learned":
        chosen, rejected = scored_pairs(judge, p.dataset, limit=p.pairs, seed=p.seed)
        f = rules.fit_preference(scores(chosen.parts), scores(rejected.parts))
        return lambda parts: f(scores(parts))
    if p.combine == "linear":
        return lambda parts: rules.linear(scores(parts), p.weights)
    if p.combine == "chebyshev":
        return lambda parts: rules.soft_chebyshev(rules.gaps(scores(parts)), p.weights, p.tau)
    return lambda parts: rules.weighted_gaps(rules.gaps(scores(parts)), p.weights)
