"""SimPO: Simple Preference Optimization (Meng et al. 2024), preferences without a reference model.

Here alone a response counts by its mean S(y) / |y|, in nats per token, and not by its sum.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

from torch.nn.functional import logsigmoid

from prefnb import parameters
from prefnb.course.policies import Trained
from prefnb.course.settings import PairTraining
from prefnb.logprobs import Loss
from prefnb.methods._pairs import learn_from_pairs
from prefnb.methods.dpo import pair_metrics
from prefnb.parameters import setting

LABEL = "SimPO"
COLOUR = "#AA4499"


def simpo(policy: SimpleNamespace, reference: SimpleNamespace | None = None, *, beta: float, gamma: float) -> Loss:
    """-log sigma(beta * (S(yw)/|yw| - S(yl)/|yl|) - gamma), Meng et al. 2024, eq. 6; (batch,).

    The reference is not used. gamma, the margin that a pair has to reach, is absolute, as in the paper: other code
    asks for the ratio gamma / beta. The loss at step 0 depends on the pairs and is not ln 2.
    Metrics: margin (beta times the difference of the means, without gamma), accuracy (1 where the margin is
    positive), reward_chosen and reward_rejected (beta times the mean), logp_chosen and logp_rejected (S, in nats).
    """
    reward_chosen, reward_rejected = beta * policy.chosen.mean, beta * policy.rejected.mean
    loss = -logsigmoid(reward_chosen - reward_rejected - gamma)
    return loss, pair_metrics(policy, reward_chosen, reward_rejected)


class Settings(PairTraining):
    beta: float = setting("scale of the mean log-probs", low=0, high=100, every=2.5)  # the best of 004, Table 1
    gamma: float = setting("the margin that a pair has to reach", low=0, high=100, every=1.0)


def recipe(**given) -> Trained:
    """SimPO from the SFT policy, with `Settings`."""
    p = parameters.check(given, Settings)
    return learn_from_pairs("simpo", p, partial(simpo, beta=p.beta, gamma=p.gamma), with_reference=False)
