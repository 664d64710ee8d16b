"""KTO: Kahneman-Tversky Optimization (Ethayarajh et al. 2024), which learns from thumbs up and thumbs down.

There are no pairs: each response stands alone with a label, good or bad. What it is compared with is the reference
point z, how far the policy has moved from the reference on the whole.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import torch

from prefnb import parameters
from prefnb.batches import Examples
from prefnb.course.examples import pair_examples
from prefnb.course.policies import Trained
from prefnb.course.settings import PairTraining
from prefnb.methods._pairs import learn_from_pairs
from prefnb.parameters import setting

LABEL = "KTO"
COLOUR = "#117733"


def kto(policy, reference, *, good: torch.Tensor, beta: float, weight_good: float = 1.0, weight_bad: float = 1.0):
    """weight_good * (1 - sigma(beta (d(y) - z))) of a good response, weight_bad * (1 - sigma(beta (z - d(y)))) of a bad
    one, Ethayarajh et al. 2024, eq. 7; (batch,).

    d(y) = S(y) - S_ref(y). z >= 0, without a gradient, is the mean of d over the batch's `other` responses, each an
    answer to another prompt: the paper's cheap estimate of KL(policy || reference). good: (batch,) bool or 0 and 1.
    At step 0 all of d and z are 0, and the loss is half the weight.
    Metrics: reward (beta d), accuracy (1 where d - z has the label's sign), z (nats), logp (S, in nats).
    """
    d = policy.response.sum - reference.response.sum
    z = (policy.other.sum - reference.other.sum).mean().clamp(min=0).detach()
    sign = torch.where(good.bool(), 1.0, -1.0)
    weight = torch.where(good.bool(), weight_good, weight_bad)
    loss = weight * (1 - torch.sigmoid(sign * beta * (d - z)))
    metrics = {
        "reward": beta * d,
        "accuracy": (sign * (d - z) > 0).to(d.dtype),
        "z": z.expand(len(d)),
        "logp": policy.response.sum,
    }
    return loss, {name: value.detach() for name, value in metrics.items()}


class Settings(PairTraining):
    beta: float = setting("how strongly the reference holds", low=0, high=100, every=0.1)
    weight_good: float = setting("weight of a good response", low=0, high=100, every=1.0)
    weight_bad: float = setting("weight of a bad response", low=0, high=100, every=1.0)


def recipe(**given) -> Trained:
    """KTO from the SFT policy, with `Settings`; every pair gives one good and one bad response."""
    p = parameters.check(given, Settings)
    objective = partial(kto, beta=p.beta, weight_good=p.weight_good, weight_bad=p.weight_bad)
    return learn_from_pairs(
        "kto", p, objective, make_examples=lambda p, policy, tokenizer: unpaired_examples(p, tokenizer)
    )


def unpaired_examples(p: Settings, tokenizer, split: str = "train", limit: int | None = None) -> Examples:
    """The responses of preference pairs one by one: `response`, with the label `good`, and `other`, a response to
    another prompt."""
    return unpaired(pair_examples(p, tokenizer, split, limit), p.seed)


def unpaired(pairs: Examples, seed: int = 0) -> Examples:
    """Pairs taken apart: all chosen responses, then all rejected ones, each with one to another prompt beside it."""
    responses = pairs.responses["chosen"] + pairs.responses["rejected"]
    order = random.Random(seed).sample(range(len(pairs)), len(pairs))  # who stands in for whom: the next in a circle
    next_one = {one: other for one, other in zip(order, order[1:] + order[:1])}
    others = [responses[side * len(pairs) + next_one[i]] for side in (0, 1) for i in range(len(pairs))]
    return replace(
        pairs,
        prompt_ids=pairs.prompt_ids * 2,
        responses={"response": responses, "other": others},
        kept=pairs.kept * 2,
        labels={"good": [1] * len(pairs) + [0] * len(pairs)},
    )
