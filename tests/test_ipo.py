"""IPO: the authors' loss in its per-token form, smallest at its target and not beyond."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from toy_policy import gradcheck, random_responses, trl_dpo

from prefnb import methods
from prefnb.logprobs import ResponseLogprobs, from_tokens
from prefnb.methods.ipo import ipo

PAIR = ("chosen", "rejected")


def test_ipo_by_hand():
    """Means over tokens, not sums: chosen (-2 - 1) / 2 against -2, rejected -4 against -3; the target is 1 / (2 * .5)."""
    policy = from_tokens(chosen=[[-2.0, -1.0]], rejected=[[-4.0]])
    reference = from_tokens(chosen=[[-2.0, -2.0]], rejected=[[-3.0]])
    loss, metrics = ipo(policy, reference, tau=0.5)
    assert metrics["margin"].item() == 0.5 - -1.0 and loss.item() == (1.5 - 1.0) ** 2
    assert metrics["accuracy"].item() == 1.0


def test_step_0_is_the_squared_target_and_the_target_costs_nothing():
    """Guards the target's size, and that a margin beyond it costs as much as one that falls as short."""
    policy = random_responses(PAIR, seed=0)
    assert torch.allclose(ipo(policy, policy, tau=0.25)[0], torch.full((4,), 4.0, dtype=torch.float64))
    at = lambda margin: ipo(from_tokens(chosen=[[margin]], rejected=[[0.0]]),  # noqa: E731
                            from_tokens(chosen=[[0.0]], rejected=[[0.0]]), tau=0.25)[0].item()
    assert at(2.0) == 0.0 and at(3.0) == at(1.0) == 1.0


def test_ipo_is_trl_s():
    """Guards loss and gradient against TRL's own trainer, run on the same log-probs."""
    policy = random_responses(PAIR, seed=0, dtype=torch.float32)
    noise = torch.rand(4, 5, generator=torch.Generator().manual_seed(1))  # of the same lengths, as a reference has
    reference = SimpleNamespace(
        **{name: ResponseLogprobs(one.token.detach() * noise, one.mask) for name, one in vars(policy).items()}
    )
    theirs, _ = trl_dpo(policy, reference, "ipo", beta=0.3)
    ours = ipo(policy, reference, tau=0.3)[0].mean()
    assert ours.item() == pytest.approx(theirs.item())
    tokens = [policy.chosen.token, policy.rejected.token]
    for one, other in zip(torch.autograd.grad(ours, tokens), torch.autograd.grad(theirs, tokens)):
        assert torch.allclose(one, other, atol=1e-6)


def test_the_gradient_is_right():
    """Against finite differences."""
    assert gradcheck(partial(ipo, reference=random_responses(PAIR, seed=1), tau=0.3), random_responses(PAIR, seed=0))


def test_the_recipe_trains_from_step_0(small_world):
    """From settings to a policy: the first loss is 1 / (4 tau^2), and a tau of 0 is refused."""
    made = methods.ipo.recipe(**small_world, tau=0.5)
    assert made.history.rows[0]["loss"] == pytest.approx(1.0, abs=1e-4) and math.isfinite(made.history.last("loss"))
    with pytest.raises(ValueError, match="'tau' must be a number above 0"):
        methods.ipo.recipe(**small_world, tau=0)
