"""Reward model: the proxy, which learns from preference pairs what a judge would say (Ouyang et al. 2022).

Its losses are on scores: of a reward model, where a preference is a difference of scores (Bradley and Terry 1952), and
of a classifier with two classes."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch.nn.functional import logsigmoid

from prefnb import data, judges, models, parameters
from prefnb.batches import Batches
from prefnb.course.examples import pair_examples
from prefnb.course.policies import Trained, loop, trained, unfinished, with_checkpointing
from prefnb.course.settings import FromSFT, Judging, PairTraining
from prefnb.logprobs import Loss, RewardScorer
from prefnb.methods.sft import starting_policy
from prefnb.parameters import setting
from prefnb.training import train

LABEL = "reward model"
COLOUR = "#AA4466"


def bradley_terry(policy: SimpleNamespace, reference: SimpleNamespace | None = None) -> Loss:
    """-log sigma(s(yw) - s(yl)), the model being that P(yw beats yl) = sigma(s(yw) - s(yl)); (batch,).

    Unlike elsewhere, `policy.chosen` and `policy.rejected` are not log-probs but SCORES, one number per response,
    (batch,) each, as `prefnb.logprobs.RewardScorer` gives them. There is no reference. Only differences matter: a
    constant added to all scores of a prompt changes nothing, so scores of different prompts cannot be compared.
    Metrics: margin (s(yw) - s(yl)), accuracy (1 where the margin is positive), score_chosen and score_rejected.
    """
    margin = policy.chosen - policy.rejected
    metrics = {
        "margin": margin,
        "accuracy": (margin > 0).to(margin.dtype),
        "score_chosen": policy.chosen,
        "score_rejected": policy.rejected,
    }
    return -logsigmoid(margin), {name: value.detach() for name, value in metrics.items()}


def two_classes(policy: SimpleNamespace, reference: SimpleNamespace | None = None, *, label: torch.Tensor) -> Loss:
    """Cross-entropy of a classifier with a good and a bad class: -log sigma(s) where `label` is 1 (good), -log sigma(-s)
    where it is 0 (bad); (batch,).

    `policy.response` is the log-odds s = log P(good) / P(bad), the difference of the two outputs, as
    `prefnb.logprobs.RewardScorer` gives it: P(good) = sigma(s). Unlike in a comparison, 0 means something.
    Metrics: accuracy (1 where s has the label's sign) and score (s).
    """
    sign = 2 * label - 1
    metrics = {"accuracy": (sign * policy.response > 0).to(policy.response.dtype), "score": policy.response}
    return -logsigmoid(sign * policy.response), {name: value.detach() for name, value in metrics.items()}


class Settings(PairTraining):
    pairs: int = setting("preference pairs to train on", low=1, pocket=2000, qwen=61_000)
    learning_rate: float = setting("Adam's rate", above=0, high=1, pocket=2e-4, qwen=1e-5)


def recipe(**given) -> Trained:
    """A sequence-classification model that scores responses (Ouyang et al. 2022, eq. 1), from the SFT policy, with
    `Settings`. `judges.RewardModel(made.model, made.tokenizer)` makes a judge of it."""
    p = parameters.check(given, Settings)

    def make() -> Trained:
        policy, tokenizer = starting_policy(p)
        model = with_checkpointing(models.reward_model_from(policy, tokenizer, p.seed), p)
        batches = Batches(pair_examples(p, tokenizer), p.batch_size, accumulation=p.accumulation, seed=p.seed)
        checkpoint = unfinished("reward_model", p)
        history = train(model, batches, bradley_terry, scorer=RewardScorer, checkpoint=checkpoint, **loop(p))
        return Trained(model, tokenizer, history)

    return trained("reward_model", p, make, load_model=models.load_reward_model)


def proxy(p: FromSFT) -> judges.RewardModel:
    """The judge that the preset's reward model makes, trained on the source of pairs that another method's settings
    `p` name, and from the model that it starts from."""
    made = recipe(preset=p.preset, seed=p.seed, model=p.model, dataset=p.dataset, sft=p.sft)
    return judges.RewardModel(made.model, made.tokenizer)


def judge_of(p: Judging) -> judges.Judge | None:
    """Who scores a notebook's answers, as `p.judge` says: the data's own judge if they have one, "gold" (the same, and
    ValueError if they have none), the "proxy", or the reward model of that folder or hub name."""
    return judges.named(p.judge, data.Source(p.dataset).judge, lambda: proxy(p))
