"""Robust and conservative DPO: DPO where no label is wrong, and what each claims where some are."""

from functools import partial

import pytest
import torch
from toy_policy import gradcheck, random_responses, trl_dpo

from prefnb import methods
from prefnb.logprobs import from_tokens
from prefnb.methods.dpo import dpo
from prefnb.methods.robust_dpo import conservative_dpo, robust_dpo

PAIR = ("chosen", "rejected")


def of_margin(margin):
    """A policy and a reference whose margin at beta = 1 is this tensor."""
    zero = torch.zeros(len(margin), 1)
    return from_tokens(chosen=margin[:, None], rejected=zero), from_tokens(chosen=zero, rejected=zero)


@pytest.mark.parametrize("loss", [robust_dpo, conservative_dpo])
def test_without_wrong_labels_it_is_dpo(loss):
    """Guards the limit, bit for bit, metrics included."""
    policy, reference = random_responses(PAIR, seed=0), random_responses(PAIR, seed=1)
    ours, theirs = loss(policy, reference, beta=0.3, flipped=0.0), dpo(policy, reference, beta=0.3)
    assert torch.equal(ours[0], theirs[0]) and all(torch.equal(ours[1][name], theirs[1][name]) for name in theirs[1])


def test_robust_dpo_is_dpo_on_average_over_flipped_labels():
    """What it claims: with a fifth of the labels exchanged, its mean is DPO's loss on the right ones."""
    margin = torch.tensor([-3.0, -0.5, 0.0, 0.7, 4.0])
    right, wrong = (robust_dpo(*of_margin(sign * margin), beta=1.0, flipped=0.2)[0] for sign in (1, -1))
    assert torch.allclose(0.8 * right + 0.2 * wrong, dpo(*of_margin(margin), beta=1.0)[0], atol=1e-6)


def test_conservative_dpo_stops_where_the_label_is_trusted_no_further():
    """Its gradient vanishes at log((1 - flipped) / flipped), and it is the cross-entropy with a softened label."""
    margin = torch.tensor([9.0]).log().requires_grad_()
    loss, _ = conservative_dpo(*of_margin(margin), beta=1.0, flipped=0.1)
    assert torch.autograd.grad(loss.sum(), margin)[0].abs().item() < 1e-6
    margin = torch.linspace(-4, 4, 9)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(margin, torch.full((9,), 0.9), reduction="none")
    assert torch.allclose(conservative_dpo(*of_margin(margin), beta=1.0, flipped=0.1)[0], theirs, atol=1e-6)


def test_robust_dpo_is_trl_s():
    """Guards loss and gradient against TRL's own trainer, run on the same log-probs."""
    policy, reference = (random_responses(PAIR, seed, dtype=torch.float32) for seed in (0, 1))
    theirs, _ = trl_dpo(policy, reference, "robust", beta=0.3, label_smoothing=0.1)
    ours = robust_dpo(policy, reference, beta=0.3, flipped=0.1)[0].mean()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    tokens = [policy.chosen.token, policy.rejected.token]
    for one, other in zip(torch.autograd.grad(ours, tokens), torch.autograd.grad(theirs, tokens)):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("loss", [robust_dpo, conservative_dpo])
def test_the_gradient_is_right(loss):
    """Against finite differences."""
    objective = partial(loss, reference=random_responses(PAIR, seed=1), beta=0.3, flipped=0.1)
    assert gradcheck(objective, random_responses(PAIR, seed=0))


@pytest.mark.parametrize("form", ["robust", "conservative"])
def test_the_recipe_trains_from_step_0(small_world, form):
    """From settings to a policy; at step 0 both losses are ln 2. Half of the labels cannot be wrong."""
    made = methods.robust_dpo.recipe(**small_world, form=form)
    assert made.history.rows[0]["loss"] == pytest.approx(0.6931472, abs=1e-4)
    with pytest.raises(ValueError, match="'flipped' must be a number from 0 to 0.49"):
        methods.robust_dpo.recipe(**small_world, flipped=0.5)
