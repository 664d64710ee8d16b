"""Robust DPO: DPO that knows that a share of its labels is wrong (Mitchell 2023; Chowdhury et al. 2024)."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch.nn.functional import logsigmoid

from prefnb import parameters
from prefnb.course.policies import Trained
from prefnb.methods import dpo
from prefnb.methods._pairs import learn_from_pairs
from prefnb.parameters import setting

LABEL = "robust DPO"
COLOUR = "#6699CC"


def conservative_dpo(policy, reference, *, beta: float, flipped: float):
    """-(1 - flipped) log sigma(m) - flipped log sigma(-m), m being DPO's margin; (batch,).

    Label smoothing (Mitchell 2023): what DPO's loss is on average if a share `flipped` of the labels is exchanged at
    random. It is smallest at m = log((1 - flipped) / flipped): no pair is pushed further than its label can be trusted.
    Metrics: DPO's.
    """
    margin, metrics = _margin(policy, reference, beta)
    return -(1 - flipped) * logsigmoid(margin) - flipped * logsigmoid(-margin), metrics


def robust_dpo(policy, reference, *, beta: float, flipped: float):
    """(-(1 - flipped) log sigma(m) + flipped log sigma(-m)) / (1 - 2 flipped), Chowdhury et al. 2024; (batch,).

    On labels of which a share `flipped` was exchanged at random, its average is DPO's loss on the right ones: a wrong
    label is subtracted again. It has no lowest value: the further a pair is pushed, the better. Metrics: DPO's.
    """
    margin, metrics = _margin(policy, reference, beta)
    loss = -(1 - flipped) * logsigmoid(margin) + flipped * logsigmoid(-margin)
    return loss / (1 - 2 * flipped), metrics


def _margin(policy, reference, beta: float):
    reward_chosen, reward_rejected = dpo.rewards(policy, reference, beta)
    return reward_chosen - reward_rejected, dpo.pair_metrics(policy, reward_chosen, reward_rejected)


FORMS = {"robust": robust_dpo, "conservative": conservative_dpo}


class Settings(dpo.Settings):
    flipped: float = setting("share of labels thought to be wrong", low=0, high=0.49, every=0.1)
    form: Literal[tuple(FORMS)] = setting("what is made of wrong labels", every="robust")


def recipe(**given) -> Trained:
    """Robust or conservative DPO from the SFT policy, with `Settings`."""
    p = parameters.check(given, Settings)
    return learn_from_pairs("robust_dpo", p, partial(FORMS[p.form], beta=p.beta, flipped=p.flipped))
