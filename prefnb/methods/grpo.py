"""GRPO: Group Relative Policy Optimization (Shao et al. 2024; 003 §3.4)."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Literal

import torch

from prefnb import parameters
from prefnb.course.policies import Trained
from prefnb.estimators.groups import dead_groups, group_size
from prefnb.logprobs import Loss
from prefnb.methods import rloo
from prefnb.methods._rewards import learn_from_rewards
from prefnb.methods.rloo import sample_metrics
from prefnb.parameters import setting

LABEL = "GRPO"
COLOUR = "#CC6677"


def group_relative(rewards: torch.Tensor, *, scale_rewards: str = "group", eps: float = 1e-4) -> torch.Tensor:
    """(R_i - mean of the group) / (standard deviation + eps): GRPO (Shao et al. 2024, §4.1.2).

    scale_rewards: the deviation is that of the "group" (as cited), of the whole "batch", or left out ("none", Liu et
    al. 2025). A group of equal rewards has advantages of exactly 0. ValueError for K = 1 or another name.
    """
    group_size(rewards)
    centred = rewards - rewards.mean(1, keepdim=True)
    centred = torch.where(dead_groups(rewards)[:, None], torch.zeros_like(centred), centred)  # not rounding's leftovers
    if scale_rewards == "none":
        return centred
    if scale_rewards not in ("group", "batch"):
        raise ValueError(f"scale_rewards={scale_rewards!r} is not known: choose one of 'group', 'batch', 'none'.")
    deviation = rewards.std(1, keepdim=True) if scale_rewards == "group" else rewards.std()
    return centred / (deviation + eps)


def grpo(
    policy: SimpleNamespace,
    reference: SimpleNamespace | None = None,
    *,
    advantage: torch.Tensor,
    old: torch.Tensor | None = None,
    clip: float = 0.2,
    kl_weight: float = 0.0,
    loss_type: str = "sequence",
    max_length: int | None = None,
) -> Loss:
    """Group Relative Policy Optimization (Shao et al. 2024, eq. 3), (batch,).

    Per token, with ratio = pi / pi_old:  -min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A) + kl_weight * k3, where k3
    is differentiated through, as cited (its gradient is not the reverse KL's: see `estimators.kl.sampled_kl`).
    old: (batch, time) log-probs of the tokens when they were sampled; None says that the policy has not moved since.
    loss_type: what a sample's tokens are divided by. "sequence": its own length (as cited). "constant": `max_length`,
    alike for all samples (Liu et al. 2025). "token": nothing here; train with average="token", which divides by the
    tokens of the whole batch (Yu et al. 2025).
    Metrics: those of `sample_metrics`, clipped (share of tokens that the clip holds), and kl_k3 (nats) with a KL.
    """
    token, mask = policy.sample.token, policy.sample.mask
    ratio = torch.exp(token - (token.detach() if old is None else old))
    bounded = ratio.clamp(1 - clip, 1 + clip)
    gain = torch.minimum(ratio * advantage[:, None], bounded * advantage[:, None])
    held = (bounded * advantage[:, None] < ratio * advantage[:, None]) & mask
    metrics = {**sample_metrics(policy), "clipped": held.sum(1) / policy.sample.length.clamp(min=1)}
    per_token = -gain
    if kl_weight > 0:
        r = reference.sample.token - token
        k3 = torch.expm1(r) - r
        per_token = per_token + kl_weight * k3
        metrics["kl_k3"] = (k3 * mask).sum(1).detach()
    total = (per_token * mask).sum(1)
    return total / _denominator(loss_type, policy.sample.length, max_length), metrics


def _denominator(loss_type: str, length: torch.Tensor, max_length: int | None):
    if loss_type == "sequence":
        return length.clamp(min=1)
    if loss_type == "token":
        return 1.0
    if loss_type != "constant":
        raise ValueError(f"loss_type={loss_type!r} is not known: choose one of 'sequence', 'token', 'constant'.")
    if not max_length:
        raise ValueError("loss_type='constant' needs max_length: the most tokens that a sample may have.")
    return float(max_length)


class Settings(rloo.Settings):
    updates: int = setting("steps on the same samples", low=1, high=64, every=1)
    clip: float = setting("how far a token's probability ratio counts", above=0, high=1, every=0.2)
    loss_type: Literal["sequence", "token", "constant"] = setting("what tokens are divided by", every="sequence")
    scale_rewards: Literal["group", "batch", "none"] = setting("whose deviation scales rewards", every="group")


def recipe(**given) -> Trained:
    """Group Relative Policy Optimization (Shao et al. 2024; 003 §3.4), from the SFT policy, with `Settings`."""
    p = parameters.check(given, Settings)
    advantages = partial(group_relative, scale_rewards=p.scale_rewards)
    objective = partial(
        grpo,
        clip=p.clip,
        kl_weight=p.kl_weight,
        loss_type=p.loss_type,
        max_length=p.max_response_tokens,
    )
    average = "token" if p.loss_type == "token" else "example"
    return learn_from_rewards(
        "grpo", p, lambda: rloo.judge_for(p), advantages, objective, average=average, updates=p.updates
    )
