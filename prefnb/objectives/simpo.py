"""Simple Preference Optimization (Meng et al. 2024): preferences without a reference model.

Here alone a response counts by its mean S(y) / |y|, in nats per token, and not by its sum.
"""

from __future__ import annotations

from torch.nn.functional import logsigmoid

from prefnb.objectives.dpo import pair_metrics


def simpo(policy, reference=None, *, beta: float, gamma: float):
    """-log sigma(beta * (S(yw)/|yw| - S(yl)/|yl|) - gamma), Meng et al. 2024, eq. 6; (batch,).

    The reference is not used. gamma, the margin that a pair has to reach, is absolute, as in the paper: other code
    asks for the ratio gamma / beta. The loss at step 0 depends on the pairs and is not ln 2.
    Metrics: margin (beta times the difference of the means, without gamma), accuracy (1 where the margin is
    positive), reward_chosen and reward_rejected (beta times the mean), logp_chosen and logp_rejected (S, in nats).
    """
    reward_chosen, reward_rejected = beta * policy.chosen.mean, beta * policy.rejected.mean
    loss = -logsigmoid(reward_chosen - reward_rejected - gamma)
    return loss, pair_metrics(policy, reward_chosen, reward_rejected)
