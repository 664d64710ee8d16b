"""IPO: Identity Preference Optimization (Azar et al. 2023), a margin that is to be met and not exceeded.

DPO's loss never reaches 0: on a pair whose label is always the same it asks for an ever larger margin. IPO names the
margin that it wants and charges the squared distance from it, so that overshooting costs as much as falling short.
"""

from __future__ import annotations

from functools import partial

from prefnb import parameters
from prefnb.course.policies import Trained
from prefnb.course.settings import PairTraining
from prefnb.methods._pairs import learn_from_pairs
from prefnb.methods.dpo import pair_metrics
from prefnb.parameters import setting

LABEL = "IPO"
COLOUR = "#661100"


def ipo(policy, reference, *, tau: float):
    """(d(yw)/|yw| - d(yl)/|yl| - 1 / (2 tau))^2, Azar et al. 2023, eq. 17, with d(y) = S(y) - S_ref(y); (batch,).

    The paper writes d(y); its authors meant the mean over tokens, which other code takes as well: with sums, the target
    of 1 / (2 tau) nats would be next to nothing for a long response. The higher tau, the smaller the margin that is
    asked for, and the closer the policy stays. At step 0 the loss is 1 / (4 tau^2).
    Metrics: as DPO's, the rewards being d(y) / |y|, in nats per token.
    """
    reward_chosen = policy.chosen.mean - reference.chosen.mean
    reward_rejected = policy.rejected.mean - reference.rejected.mean
    loss = (reward_chosen - reward_rejected - 1 / (2 * tau)) ** 2
    return loss, pair_metrics(policy, reward_chosen, reward_rejected)


class Settings(PairTraining):
    tau: float = setting("price of moving away from the reference", above=0, high=1000, every=0.5)


def recipe(**given) -> Trained:
    """IPO from the SFT policy, with `Settings`."""
    p = parameters.check(given, Settings)
    return learn_from_pairs("ipo", p, partial(ipo, tau=p.tau))
