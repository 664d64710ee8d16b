"""SimPO: the mean, the absolute gamma, and no reference."""

import math
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
from toy_policy import gradcheck, random_responses, tokens_of

from prefnb.logprobs import ResponseLogprobs, from_tokens
from prefnb.methods.simpo import simpo

PAIR = ("chosen", "rejected")


def softplus(x):
    return math.log1p(math.exp(x))  # -log sigma(-x)


def gradients(loss, policy):
    return torch.autograd.grad(loss.sum(), tokens_of(policy), retain_graph=True)


def test_simpo_by_hand():
    """Guards the mean (the sums here would give a margin of 6), gamma's sign, and every metric's meaning.

    beta 2, gamma 1/2: the means are -3/2 and -2, the margin is 2 * (-3/2 + 2) = 1, and 1 - 1/2 goes into sigma.
    """
    policy = from_tokens(chosen=[[-1.0, -2.0]], rejected=[[-1.0, -2.0, -3.0]])
    loss, metrics = simpo(policy, beta=2.0, gamma=0.5)
    assert loss.item() == pytest.approx(softplus(-0.5))
    assert {name: value.item() for name, value in metrics.items()} == {
        "margin": 1.0, "accuracy": 1.0, "reward_chosen": -3.0, "reward_rejected": -4.0,
        "logp_chosen": -3.0, "logp_rejected": -6.0}


def test_gradient_by_finite_differences():
    """Guards the formula's derivative, e.g. a detach in the wrong place."""
    assert gradcheck(lambda policy: simpo(policy, beta=2.5, gamma=1.0), random_responses(PAIR, seed=0))


def test_metrics_are_detached_and_per_example():
    """Guards the history from keeping every step's graph in memory."""
    loss, metrics = simpo(random_responses(PAIR, seed=0), beta=2.5, gamma=1.0)
    assert loss.shape == (4,) and loss.requires_grad
    assert all(value.shape == (4,) and not value.requires_grad for value in metrics.values())


def test_a_fully_masked_row_is_not_nan():
    """Guards against a division by a length of zero."""
    masked = torch.zeros(1, 2, dtype=torch.bool)
    policy = SimpleNamespace(chosen=ResponseLogprobs(torch.zeros(1, 2, requires_grad=True), masked),
                             rejected=ResponseLogprobs(torch.zeros(1, 2, requires_grad=True), masked))
    loss, _ = simpo(policy, beta=2.5, gamma=1.0)
    assert loss.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients(loss, policy))


@pytest.mark.parametrize("role", PAIR)
def test_a_doubled_response_leaves_the_loss_as_it_is(role):
    """Guards the length normalisation: saying every token twice must not pay, and must not cost."""
    policy = random_responses(PAIR, seed=0)
    once = getattr(policy, role)
    doubled = SimpleNamespace(**vars(policy) | {role: ResponseLogprobs(once.token.repeat(1, 2), once.mask.repeat(1, 2))})
    torch.testing.assert_close(simpo(doubled, beta=2.5, gamma=1.0)[0], simpo(policy, beta=2.5, gamma=1.0)[0])


def test_the_reference_plays_no_part():
    """Guards against a log-ratio creeping in."""
    policy, reference = random_responses(PAIR, seed=0), random_responses(PAIR, seed=1)
    assert torch.equal(simpo(policy, reference, beta=2.5, gamma=1.0)[0], simpo(policy, None, beta=2.5, gamma=1.0)[0])


def test_gamma_from_nothing_to_everything():
    """Guards gamma's role: equal responses cost ln 2 at gamma 0; far beyond the margin the loss is gamma - margin, and
    its gradient is beta / |y| on every token, however right the pair."""
    policy = random_responses(PAIR, seed=0)
    same = SimpleNamespace(chosen=policy.chosen, rejected=policy.chosen)
    assert torch.allclose(simpo(same, beta=2.5, gamma=0.0)[0], torch.tensor(2.0).double().log())
    loss, metrics = simpo(policy, beta=2.5, gamma=1000.0)
    assert torch.allclose(loss, 1000.0 - metrics["margin"])
    chosen, rejected = gradients(loss, policy)
    assert torch.allclose(chosen, (-2.5 / policy.chosen.length)[:, None].expand(4, 5))
    assert torch.allclose(rejected, (2.5 / policy.rejected.length)[:, None].expand(4, 5))


def test_simpo_is_trl_s():
    """Guards loss, gradient and rewards against TRL's own loss, which takes gamma as it is (`simpo_gamma`) and divides
    by beta itself; its mean comes from its own function, on logits."""
    CPOTrainer = pytest.importorskip("trl.experimental.cpo").CPOTrainer
    logits = torch.randn(6, 7, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    labels = torch.randint(11, (6, 7), generator=torch.Generator().manual_seed(1))
    labels[torch.arange(7) >= torch.tensor([7, 5, 3, 4, 6, 2])[:, None]] = -100  # chosen over rejected
    labels[:, 0] = -100
    mean = CPOTrainer.get_batch_logps(logits, labels, average_log_prob=True)
    trainer = MagicMock(alpha=0.0, beta=2.5, simpo_gamma=1.0, loss_type="simpo", label_smoothing=0.0)
    trainer.accelerator.device = "cpu"
    theirs, chosen, rejected = CPOTrainer.cpo_loss(trainer, mean[:3], mean[3:])

    mask = labels[:, 1:] != -100
    token = logits[:, :-1].log_softmax(-1).gather(-1, labels[:, 1:, None].clamp(min=0))[..., 0] * mask
    policy = SimpleNamespace(chosen=ResponseLogprobs(token[:3], mask[:3]), rejected=ResponseLogprobs(token[3:], mask[3:]))
    loss, metrics = simpo(policy, beta=2.5, gamma=1.0)
    torch.testing.assert_close(loss, theirs)
    torch.testing.assert_close(metrics["reward_chosen"], chosen)
    torch.testing.assert_close(metrics["reward_rejected"], rejected)
    ours, trls = (torch.autograd.grad(one.sum(), logits, retain_graph=True)[0] for one in (loss, theirs))
    torch.testing.assert_close(ours, trls)


def test_simpo_is_liger_s():
    """Guards loss and rewards against a second library, which takes gamma as an absolute number as well."""
    liger = pytest.importorskip("liger_kernel.chunked_loss.simpo_loss").LigerFusedLinearSimPOFunction
    policy = random_responses(PAIR, seed=0)
    theirs, chosen, rejected = liger.preference_loss_fn(
        policy.chosen.mean, policy.rejected.mean, torch.zeros(8, 5), beta=2.5, gamma=1.0)  # 8 rows: 4 pairs
    loss, metrics = simpo(policy, beta=2.5, gamma=1.0)
    torch.testing.assert_close(loss.mean(), theirs)
    torch.testing.assert_close(metrics["reward_chosen"], chosen)
    torch.testing.assert_close(metrics["reward_rejected"], rejected)
