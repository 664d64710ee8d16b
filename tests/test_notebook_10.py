"""Notebook 10: the loss that its readers see and edit is the library's, and its measures are right."""

import numpy as np
import pytest
import torch
from notebook_source import load

from prefnb.lessons.grpo import rougher
from prefnb.logprobs import from_tokens
from prefnb.methods import grpo as library


@pytest.fixture(scope="module")
def notebook():
    return load("10_grpo", "group_relative", "grpo", "push", "roughness")


def random_samples(seed, lengths=(3, 1, 5, 2)):
    """Token log-probs with gradients."""
    generator = torch.Generator().manual_seed(seed)
    return [(-torch.rand(n, generator=generator) * 3).requires_grad_() for n in lengths]


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_the_notebook_s_advantages_are_the_library_s(notebook, scale):
    """Guards against a notebook that shows one advantage and a library that trains with another."""
    rewards = torch.tensor([[0.1, 0.7, 0.4], [0.3, 0.3, 0.3], [9.0, 2.0, 2.0]])
    ours = notebook.group_relative(rewards, scale_rewards=scale)
    assert torch.equal(ours, library.group_relative(rewards, scale_rewards=scale)) and (ours[1] == 0).all()


@pytest.mark.parametrize("loss_type", ["sequence", "token", "constant"])
@pytest.mark.parametrize("kl_weight", [0.0, 0.3])
@pytest.mark.parametrize("moved", [False, True])
def test_the_notebook_s_loss_is_the_library_s(notebook, loss_type, kl_weight, moved):
    """Guards against two losses, in value, gradient or metrics, with and without a policy that has moved."""
    advantage = torch.tensor([1.0, -0.5, 2.0, -1.0])
    reference = from_tokens(sample=[one.detach() for one in random_samples(1)])
    old = from_tokens(sample=[one.detach() for one in random_samples(2)]).sample.token if moved else None
    found = []
    for loss in (notebook.grpo, library.grpo):
        tokens = random_samples(0)
        value, metrics = loss(from_tokens(sample=tokens), reference, advantage=advantage, old=old, clip=0.2,
                              kl_weight=kl_weight, loss_type=loss_type, max_length=6)
        gradients = torch.autograd.grad(value.sum(), tokens)
        found.append((value.detach(), *gradients, *(metrics[name] for name in sorted(metrics))))
    assert len(found[0]) == len(found[1])
    assert all(torch.allclose(ours, theirs) for ours, theirs in zip(*found))


def test_the_push_of_each_denominator_is_as_the_text_says(notebook):
    """Guards against a table on length bias that contradicts the words below it."""
    whole = {kind: notebook.push(kind, 1.0) for kind in ("sequence", "token", "constant")}
    (short, long), totals = whole["sequence"]
    assert short == pytest.approx(4 * long) and totals[0] == pytest.approx(totals[1])
    for kind in ("token", "constant"):
        (short, long), totals = whole[kind]
        assert short == pytest.approx(long) and totals[1] == pytest.approx(4 * totals[0])


def test_roughness_tells_noise_from_progress(notebook):
    """Guards against a measure of smoothness that a steeper smooth curve, or another scale, would change."""
    line = np.arange(30.0)
    noisy = line + np.random.default_rng(0).normal(0, 10, 30)
    assert notebook.roughness(line) == pytest.approx(0)
    assert notebook.roughness(noisy) > 0.2
    assert notebook.roughness(7 * noisy) == pytest.approx(notebook.roughness(noisy))


def test_a_curve_of_few_steps_is_not_judged(notebook):
    """Guards against a verdict on smoothness from a run that is too short for one."""
    curves = {"DPO": {"margin": notebook.roughness([1, 2, 3])}, "printed": {"reward": 0.5}, "cited": {"reward": 0.7}}
    assert rougher(curves, "reward", "margin") == ["too few steps", "cannot be told"]
    for of_dpo, verdict in ((0.4, "so it was in this run"), (0.6, "of one form only"), (0.8, "not so in this run")):
        assert rougher({**curves, "DPO": {"margin": of_dpo}}, "reward", "margin")[1] == verdict
