"""RLOO: REINFORCE with the leave-one-out baseline (Ahmadian et al. 2024; 001 §6.3.1, 003 eq. 6)."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Literal

import torch

from prefnb import data, judges, parameters
from prefnb.course.policies import Trained
from prefnb.course.settings import FromRewards
from prefnb.estimators.groups import group_size
from prefnb.estimators.kl import sampled_kl
from prefnb.logprobs import Loss
from prefnb.methods._rewards import learn_from_rewards
from prefnb.methods.reward_model import proxy
from prefnb.parameters import setting

LABEL = "RLOO"
COLOUR = "#332288"


def plain(rewards: torch.Tensor) -> torch.Tensor:
    """The reward itself, no baseline: REINFORCE (Williams 1992), and what 001 §6.3.1 prints."""
    return rewards


def leave_one_out(rewards: torch.Tensor) -> torch.Tensor:
    """R_i - mean of the other K - 1 rewards of the group: RLOO (Ahmadian et al. 2024), and 003 eq. 6 as printed.

    The baseline does not know sample i, so the gradient stays unbiased. ValueError for K = 1.
    """
    k = group_size(rewards)
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / (k - 1)


def reinforce(
    policy: SimpleNamespace,
    reference: SimpleNamespace | None = None,
    *,
    advantage: torch.Tensor,
    kl_weight: float = 0.0,
) -> Loss:
    """-A(y) * S(y) + kl_weight * KL(policy || reference), (batch,).

    With `plain` advantages this is REINFORCE, with `leave_one_out` RLOO and the printed GRPO (003 eq. 6). Samples must
    have been drawn by the very policy that is updated. The number is no cost: only its gradient means something.
    Metrics: those of `sample_metrics`, and kl_k1 and kl_k3 (nats) if the KL has a weight; it then needs a reference.
    """
    loss = -advantage * policy.sample.sum
    if kl_weight == 0:
        return loss, sample_metrics(policy)
    penalty, kl_metrics = sampled_kl(policy, reference, weight=kl_weight)
    return loss + penalty, {**sample_metrics(policy), **kl_metrics}


def sample_metrics(policy: SimpleNamespace) -> dict[str, torch.Tensor]:
    """entropy: the mean -log pi of a sample's tokens (nats per token); an estimate of the policy's, as the samples are
    its own. length: tokens. Both (batch,), detached."""
    return {"entropy": -policy.sample.mean.detach(), "length": policy.sample.length}


class Settings(FromRewards):
    reward: Literal["gold", "proxy"] = setting("whose scores are the rewards", pocket="gold", qwen="proxy")


def recipe(**given) -> Trained:
    """RLOO from the SFT policy, with `Settings`."""
    p = parameters.check(given, Settings)
    objective = partial(reinforce, kl_weight=p.kl_weight)
    return learn_from_rewards("rloo", p, lambda: judge_for(p), leave_one_out, objective)


def judge_for(p: Settings) -> judges.Judge:
    """The judge whose total is the reward: the one that knows the data, or the proxy trained on `p.dataset`."""
    return judges.named(p.reward, data.Source(p.dataset).judge, lambda: proxy(p))
