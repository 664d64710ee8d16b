"""REINFORCE, RLOO and GRPO: learning from the rewards of one's own samples.

A reward R(y) has no gradient in the policy's weights; its expectation has, and samples estimate it (see
`score_function`). What tells the methods apart is the *advantage*, the number that stands for the reward: how much
better a sample was than what was to be expected. Rewards and advantages are (prompts, K), a row being the group of K
samples of one prompt. The losses read the role "sample" and take the advantages flat, (batch,).
"""

from __future__ import annotations

import torch

from prefnb.objectives.kl import sampled_kl

# ---------------------------------------------------------------- from rewards to advantages


def plain(rewards: torch.Tensor) -> torch.Tensor:
    """The reward itself, no baseline: REINFORCE (Williams 1992), and what 001 §6.3.1 prints."""
    return rewards


def leave_one_out(rewards: torch.Tensor) -> torch.Tensor:
    """R_i - mean of the other K - 1 rewards of the group: RLOO (Ahmadian et al. 2024), and 003 eq. 6 as printed.

    The baseline does not know sample i, so the gradient stays unbiased. ValueError for K = 1.
    """
    k = _group_size(rewards)
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / (k - 1)


def group_relative(rewards: torch.Tensor, *, scale_rewards: str = "group", eps: float = 1e-4) -> torch.Tensor:
    """(R_i - mean of the group) / (standard deviation + eps): GRPO (Shao et al. 2024, §4.1.2).

    scale_rewards: the deviation is that of the "group" (as cited), of the whole "batch", or left out ("none", Liu et
    al. 2025). A group of equal rewards has advantages of exactly 0. ValueError for K = 1 or another name.
    """
    _group_size(rewards)
    centred = rewards - rewards.mean(1, keepdim=True)
    centred = torch.where(dead_groups(rewards)[:, None], torch.zeros_like(centred), centred)  # not rounding's leftovers
    if scale_rewards == "none":
        return centred
    if scale_rewards not in ("group", "batch"):
        raise ValueError(f"scale_rewards={scale_rewards!r} is not known: choose one of 'group', 'batch', 'none'.")
    deviation = rewards.std(1, keepdim=True) if scale_rewards == "group" else rewards.std()
    return centred / (deviation + eps)


def dead_groups(rewards: torch.Tensor) -> torch.Tensor:
    """(prompts,) bool: groups whose K rewards are all equal. They have no better sample to learn from."""
    return (rewards == rewards[:, :1]).all(1)


def _group_size(rewards: torch.Tensor) -> int:
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise ValueError(
            f"Rewards of shape {tuple(rewards.shape)} hold no groups: samples of one prompt are compared with one "
            "another, so give (prompts, K) with K of at least 2."
        )
    return rewards.shape[1]


# ---------------------------------------------------------------- from advantages to losses


def reinforce(policy, reference=None, *, advantage: torch.Tensor, kl_weight: float = 0.0):
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


def grpo(
    policy,
    reference=None,
    *,
    advantage: torch.Tensor,
    old: torch.Tensor | None = None,
    clip: float = 0.2,
    kl_weight: float = 0.0,
    loss_type: str = "sequence",
    max_length: int | None = None,
):
    """Group Relative Policy Optimization (Shao et al. 2024, eq. 3), (batch,).

    Per token, with ratio = pi / pi_old:  -min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A) + kl_weight * k3, where k3
    is differentiated through, as cited (its gradient is not the reverse KL's: see `kl.sampled_kl`).
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


def sample_metrics(policy) -> dict[str, torch.Tensor]:
    """entropy: the mean -log pi of a sample's tokens (nats per token); an estimate of the policy's, as the samples are
    its own. length: tokens. Both (batch,), detached."""
    return {"entropy": -policy.sample.mean.detach(), "length": policy.sample.length}
