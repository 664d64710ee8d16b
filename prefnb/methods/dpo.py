"""DPO: Direct Preference Optimization (Rafailov et al. 2023), with DPO-Positive and the "KL" of paper 002.

All use the sum S(y) of a response's token log-probs, never its mean. Log-ratios are d(y) = S(y) - S_ref(y).
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import torch
from torch.nn.functional import logsigmoid

from prefnb import parameters
from prefnb.course.policies import Trained
from prefnb.course.settings import PairTraining
from prefnb.logprobs import Loss
from prefnb.methods._pairs import learn_from_pairs
from prefnb.parameters import setting

LABEL = "DPO"
COLOUR = "#56B4E9"


def rewards(policy: SimpleNamespace, reference: SimpleNamespace, beta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """beta * d of the chosen and of the rejected response, the rewards that DPO implies: (batch,) each."""
    return (beta * (policy.chosen.sum - reference.chosen.sum), beta * (policy.rejected.sum - reference.rejected.sum))


def dpo(policy: SimpleNamespace, reference: SimpleNamespace, *, beta: float) -> Loss:
    """-log sigma(beta * (d(yw) - d(yl))), Rafailov et al. 2023, eq. 7; (batch,).

    Where policy and reference agree the loss is ln 2. A higher beta keeps the policy closer to the reference:
    a smaller change of log-probs then makes the same margin.
    Metrics: margin (beta * (d(yw) - d(yl))), accuracy (1 where the margin is positive), reward_chosen and
    reward_rejected (beta * d), logp_chosen and logp_rejected (S, in nats).
    """
    reward_chosen, reward_rejected = rewards(policy, reference, beta)
    return -logsigmoid(reward_chosen - reward_rejected), pair_metrics(policy, reward_chosen, reward_rejected)


def pair_metrics(
    policy: SimpleNamespace, reward_chosen: torch.Tensor, reward_rejected: torch.Tensor
) -> dict[str, torch.Tensor]:
    """What every loss on pairs reports, given its own idea of a reward: detached, (batch,) each."""
    margin = reward_chosen - reward_rejected
    metrics = {
        "margin": margin,
        "accuracy": (margin > 0).to(margin.dtype),
        "reward_chosen": reward_chosen,
        "reward_rejected": reward_rejected,
        "logp_chosen": policy.chosen.sum,
        "logp_rejected": policy.rejected.sum,
    }
    return {name: value.detach() for name, value in metrics.items()}


def dpo_positive(
    policy: SimpleNamespace, reference: SimpleNamespace, *, beta: float, penalty: float, form: str = "added"
) -> Loss:
    """DPO that objects when the chosen response becomes less likely than under the reference; (batch,).

    With shortfall = max(0, S_ref(yw) - S(yw)) = max(0, -d(yw)):
        "added":  L_DPO + penalty * shortfall                                  (paper 002, 3.1)
        "inside": -log sigma(beta * (d(yw) - d(yl) - penalty * shortfall))     (DPOP, Pal et al. 2024)
    "added" pushes with the same strength on every short pair; "inside" lets go once the margin is large.
    Metrics: dpo's, and penalty (what the term adds to the loss). ValueError for another form.
    """
    if form not in ("added", "inside"):
        raise ValueError(f"form={form!r} is not known: choose one of 'added', 'inside'.")
    dpo_loss, metrics = dpo(policy, reference, beta=beta)
    shortfall = torch.relu(reference.chosen.sum - policy.chosen.sum)
    if form == "added":
        loss = dpo_loss + penalty * shortfall
    else:
        reward_chosen, reward_rejected = rewards(policy, reference, beta)
        loss = -logsigmoid(reward_chosen - reward_rejected - beta * penalty * shortfall)
    return loss, {**metrics, "penalty": (loss - dpo_loss).detach()}


def dpo_kl_as_printed(policy: SimpleNamespace, reference: SimpleNamespace, *, beta: float, weight: float) -> Loss:
    """L_DPO + weight * 0.5 * [(S_ref(yw) - S(yw)) + (S_ref(yl) - S(yl))]: the "KL" of paper 002, 3.1.

    It is no KL: it averages over the data set's responses instead of the policy's samples, and can be
    negative. Its gradient is that of SFT on both, so it raises the rejected response as hard as the chosen.
    The real thing is `estimators.kl.sampled_kl`. Metrics: dpo's, and penalty (the added term).
    """
    loss, metrics = dpo(policy, reference, beta=beta)
    penalty = (
        weight * 0.5 * ((reference.chosen.sum - policy.chosen.sum) + (reference.rejected.sum - policy.rejected.sum))
    )
    return loss + penalty, {**metrics, "penalty": penalty.detach()}


class Settings(PairTraining):
    beta: float = setting("how strongly the reference holds", low=0, high=100, pocket=0.1, qwen=0.01)  # 004 §4


def recipe(**given) -> Trained:
    """DPO from the SFT policy, with `Settings`."""
    p = parameters.check(given, Settings)
    return learn_from_pairs("dpo", p, partial(dpo, beta=p.beta))
