"""DPO, DPO-Positive and the "KL" of paper 002."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from toy_policy import gradcheck, random_responses, tokens_of, trl_dpo

from prefnb.logprobs import ResponseLogprobs, from_tokens
from prefnb.methods.dpo import dpo, dpo_kl_as_printed, dpo_positive

PAIR = ("chosen", "rejected")
EVERY = {
    "dpo": partial(dpo, beta=0.3),
    "positive, added": partial(dpo_positive, beta=0.3, penalty=2.0, form="added"),
    "positive, inside": partial(dpo_positive, beta=0.3, penalty=2.0, form="inside"),
    "kl as printed": partial(dpo_kl_as_printed, beta=0.3, weight=0.7),
}
every_objective = pytest.mark.parametrize("objective", EVERY.values(), ids=EVERY.keys())

# One pair by hand, beta 1/2: d(yw) = -3 - (-2) = -1, d(yl) = -6 - (-3) = -3, the margin is (-1 + 3) / 2 = 1.
POLICY = from_tokens(chosen=[[-1.0, -2.0]], rejected=[[-1.0, -2.0, -3.0]])
REFERENCE = from_tokens(chosen=[[-1.0, -1.0]], rejected=[[-1.0, -1.0, -1.0]])


def softplus(x):
    return math.log1p(math.exp(x))  # -log sigma(-x)


def gradients(loss, policy):
    return torch.autograd.grad(loss.sum(), tokens_of(policy), retain_graph=True)


def test_dpo_by_hand():
    """Guards the sum (the means here would give a margin of 1/4), the sign and every metric's meaning."""
    loss, metrics = dpo(POLICY, REFERENCE, beta=0.5)
    assert loss.item() == pytest.approx(softplus(-1.0))
    assert {name: value.item() for name, value in metrics.items()} == {
        "margin": 1.0, "accuracy": 1.0, "reward_chosen": -0.5, "reward_rejected": -1.5,
        "logp_chosen": -3.0, "logp_rejected": -6.0}


@every_objective
def test_loss_is_ln_2_where_policy_and_reference_agree(objective):
    """Guards step 0: no penalty, no margin, and a tie that is not called accurate."""
    policy = random_responses(PAIR, seed=0, dtype=torch.float32)
    loss, metrics = objective(policy, policy)
    assert (loss == torch.tensor(2.0).log()).all() and (metrics["margin"] == 0).all()
    assert (metrics["accuracy"] == 0).all() and (metrics.get("penalty", torch.zeros(1)) == 0).all()


@every_objective
def test_gradient_by_finite_differences(objective):
    """Guards the formula's derivative, e.g. a detach in the wrong place."""
    reference = random_responses(PAIR, seed=1)
    assert gradcheck(lambda policy: objective(policy, reference), random_responses(PAIR, seed=0))


@every_objective
def test_metrics_are_detached_and_per_example(objective):
    """Guards the history from keeping every step's graph in memory."""
    loss, metrics = objective(random_responses(PAIR, seed=0), random_responses(PAIR, seed=1))
    assert loss.shape == (4,) and loss.requires_grad
    assert all(value.shape == (4,) and not value.requires_grad for value in metrics.values())


@every_objective
def test_a_fully_masked_row_is_not_nan(objective):
    """Guards against a division by a length of zero."""
    masked = torch.zeros(1, 2, dtype=torch.bool)
    policy = SimpleNamespace(chosen=ResponseLogprobs(torch.zeros(1, 2, requires_grad=True), masked),
                             rejected=ResponseLogprobs(torch.zeros(1, 2, requires_grad=True), masked))
    loss, _ = objective(policy, policy)
    assert loss.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients(loss, policy))


def test_dpo_s_gradient_is_sigma_of_minus_the_margin():
    """Guards Rafailov et al.'s reading: beta sigma(-margin), chosen tokens up, rejected tokens down."""
    policy = random_responses(PAIR, seed=2)
    loss, metrics = dpo(policy, random_responses(PAIR, seed=3), beta=0.3)
    chosen, rejected = gradients(loss, policy)
    strength = (0.3 * torch.sigmoid(-metrics["margin"]))[:, None]
    assert torch.allclose(chosen, -strength.expand(4, 5)) and torch.allclose(rejected, strength.expand(4, 5))


def test_a_smaller_beta_tends_to_ln_2_and_a_larger_one_needs_less_change():
    """Guards beta's direction: the same log-ratios make a larger margin, so a higher beta stays closer."""
    policy, reference = random_responses(PAIR, seed=0), random_responses(PAIR, seed=1)
    small, metrics = dpo(policy, reference, beta=1e-9)
    assert torch.allclose(small, torch.tensor(2.0).double().log())
    assert torch.allclose(dpo(policy, reference, beta=0.2)[1]["margin"], 2e8 * metrics["margin"])


def test_dpo_is_finite_at_enormous_margins():
    """Guards against log(sigmoid(x)), which is -inf at x = -1000; the loss there is 1000, and 0 at 1000."""
    loss, _ = dpo(from_tokens(chosen=[[-1000.0], [0.0]], rejected=[[0.0], [-1000.0]]),
                  from_tokens(chosen=[[0.0], [0.0]], rejected=[[0.0], [0.0]]), beta=1.0)
    assert loss.tolist() == [1000.0, 0.0]


def test_dpo_is_trl_s():
    """Guards loss, gradient and rewards against TRL's own trainer, run on the same log-probs."""
    policy, reference = (random_responses(PAIR, seed, dtype=torch.float32) for seed in (0, 1))
    theirs, logged = trl_dpo(policy, reference, "sigmoid", beta=0.3)
    loss, metrics = dpo(policy, reference, beta=0.3)
    assert loss.mean().item() == pytest.approx(theirs.item())
    for ours, trls in zip(gradients(loss.mean(), policy), gradients(theirs, policy)):
        assert torch.allclose(ours, trls, atol=1e-7)
    names = {"margin": "rewards/margins", "accuracy": "rewards/accuracies", "reward_chosen": "rewards/chosen",
             "reward_rejected": "rewards/rejected", "logp_chosen": "logps/chosen"}
    for ours, trls in names.items():
        assert metrics[ours].mean().item() == pytest.approx(logged[trls][0], rel=1e-5)


def test_dpo_is_liger_s():
    """Guards loss and rewards against a second library."""
    liger = pytest.importorskip("liger_kernel.chunked_loss.dpo_loss").LigerFusedLinearDPOFunction
    policy, reference = random_responses(PAIR, seed=0), random_responses(PAIR, seed=1)
    theirs, chosen, rejected = liger.preference_loss_fn(
        policy.chosen.sum, policy.rejected.sum, torch.zeros(8, 5),  # the third only says how many pairs
        reference.chosen.sum, reference.rejected.sum, beta=0.3)
    loss, metrics = dpo(policy, reference, beta=0.3)
    assert torch.allclose(loss.mean(), theirs)
    assert torch.allclose(metrics["reward_chosen"], chosen)
    assert torch.allclose(metrics["reward_rejected"], rejected)


def test_dpo_positive_by_hand():
    """Guards the sign (it adds to the loss) and the two places; the shortfall is -2 - (-3) = 1.

    added: softplus(-1) + 3 * 1. inside: the margin becomes 1 - 0.5 * 3 * 1 = -1/2.
    """
    added, metrics = dpo_positive(POLICY, REFERENCE, beta=0.5, penalty=3.0)
    assert added.item() == pytest.approx(softplus(-1.0) + 3.0)
    assert metrics["penalty"].item() == pytest.approx(3.0) and metrics["margin"].item() == 1.0
    inside, metrics = dpo_positive(POLICY, REFERENCE, beta=0.5, penalty=3.0, form="inside")
    assert inside.item() == pytest.approx(softplus(0.5))
    assert metrics["penalty"].item() == pytest.approx(softplus(0.5) - softplus(-1.0))


@pytest.mark.parametrize("form", ["added", "inside"])
def test_dpo_positive_is_dpo_while_the_chosen_response_gains(form):
    """Guards the max(0, .): nothing happens to a pair whose chosen response is likelier than before."""
    policy = from_tokens(chosen=[[-1.0]], rejected=[[-2.0]])
    reference = from_tokens(chosen=[[-1.5]], rejected=[[-1.0]])
    assert torch.equal(dpo_positive(policy, reference, beta=0.5, penalty=9.0, form=form)[0],
                       dpo(policy, reference, beta=0.5)[0])


@pytest.mark.parametrize("form", ["added", "inside"])
def test_dpo_positive_pulls_the_chosen_response_up(form):
    """Guards the gradient's direction, and the docstring: only "added" still pulls at a large margin."""
    policy = from_tokens(chosen=[torch.tensor([-3.0], requires_grad=True)], rejected=[[-90.0]])
    reference = from_tokens(chosen=[[-2.0]], rejected=[[-1.0]])
    token = policy.chosen.token
    loss, _ = dpo_positive(policy, reference, beta=1.0, penalty=2.0, form=form)
    positive = torch.autograd.grad(loss.sum(), token)[0]
    assert positive.item() == pytest.approx({"added": -2.0, "inside": 0.0}[form], abs=1e-6)
    near = from_tokens(chosen=[torch.tensor([-3.0], requires_grad=True)], rejected=[[-2.0]])
    positive, plain = (torch.autograd.grad(loss.sum(), near.chosen.token)[0].item() for loss, _ in (
        dpo_positive(near, reference, beta=1.0, penalty=2.0, form=form), dpo(near, reference, beta=1.0)))
    assert positive < plain < 0


def test_dpo_positive_names_its_forms():
    """Guards against a mistyped form falling through to one of the two."""
    with pytest.raises(ValueError, match="form='outside' is not known: choose one of 'added', 'inside'"):
        dpo_positive(POLICY, REFERENCE, beta=0.5, penalty=1.0, form="outside")


def test_kl_as_printed_by_hand_and_it_can_be_negative():
    """Guards the printed sign and the half: 2 * 0.5 * [(-2 + 3) + (-3 + 6)] = 4; with models swapped, -4."""
    loss, metrics = dpo_kl_as_printed(POLICY, REFERENCE, beta=0.5, weight=2.0)
    assert loss.item() == pytest.approx(softplus(-1.0) + 4.0)
    assert metrics["penalty"].item() == pytest.approx(4.0)
    _, swapped = dpo_kl_as_printed(REFERENCE, POLICY, beta=0.5, weight=2.0)
    assert swapped["penalty"].item() == pytest.approx(-4.0)


def test_kl_as_printed_pulls_both_responses_up_alike():
    """Guards the lesson that it is SFT on both: it adds -weight / 2 to every token's gradient."""
    policy, reference = random_responses(PAIR, seed=0), random_responses(PAIR, seed=1)
    plain = gradients(dpo(policy, reference, beta=0.3)[0], policy)
    printed = gradients(dpo_kl_as_printed(policy, reference, beta=0.3, weight=0.8)[0], policy)
    for before, after in zip(plain, printed):
        assert torch.allclose(after - before, torch.full_like(before, -0.4))
