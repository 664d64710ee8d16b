"""Notebook 09: the advantages and the loss that its readers see and edit are the library's; its measurement and
its verdicts are right."""

import numpy as np
import pytest
import torch
from notebook_source import load

from prefnb.lessons.rloo import noise
from prefnb.logprobs import from_tokens
from prefnb.methods import rloo as library


@pytest.fixture(scope="module")
def notebook():
    return load("09_rloo", "plain", "leave_one_out", "reinforce", "ESTIMATORS")


def test_the_notebook_s_advantages_are_the_library_s(notebook):
    """Guards against a notebook that shows one baseline and a library that takes another."""
    rewards = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name in ("plain", "leave_one_out"):
        assert torch.allclose(getattr(notebook, name)(rewards), getattr(library, name)(rewards))


@pytest.mark.parametrize("kl_weight", [0.0, 0.3])
def test_the_notebook_s_loss_is_the_library_s(notebook, kl_weight):
    """Guards against a notebook that trains with another loss than methods.rloo.recipe, in value or in gradient."""
    advantage, found = torch.tensor([1.5, -0.5, -1.0]), []
    for reinforce in (notebook.reinforce, library.reinforce):
        policy = from_tokens(sample=[[-1.0, -0.4], [-2.0], [-0.3, -0.2, -1.1]])
        policy.sample.token.requires_grad_()
        reference = from_tokens(sample=[[-0.7, -0.9], [-1.5], [-0.6, -0.1, -0.8]])
        loss, metrics = reinforce(policy, reference, advantage=advantage, kl_weight=kl_weight)
        loss.sum().backward()
        found.append((loss, policy.sample.token.grad, metrics))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    assert set(found[1][2]) <= set(found[0][2])


def test_without_a_reference_only_entropy_and_length_are_reported(notebook):
    """Guards against a loss that needs a reference model where no KL is wanted."""
    loss, metrics = notebook.reinforce(from_tokens(sample=[[-1.0], [-2.0]]), advantage=torch.tensor([1.0, -1.0]))
    assert loss.tolist() == [1.0, -2.0] and set(metrics) == {"entropy", "length"}


def test_the_measured_variance_is_the_variance_of_estimates(notebook):
    """Guards the inner-product arithmetic: on samples of a known law it must find what direct simulation finds.

    Score vectors and rewards are drawn at random; the variance of estimates from fresh samples is computed directly.
    """
    random, (prompts, total, k) = np.random.default_rng(0), (4, 64, 4)

    def world(n):
        vectors = random.normal(size=(prompts, n, 6))
        return vectors, 5 + vectors[..., 0] + random.normal(size=(prompts, n))

    vectors, rewards = world(total)
    flat = vectors.reshape(-1, 6)
    for how in notebook.ESTIMATORS.values():
        if how not in (notebook.plain, notebook.leave_one_out):
            continue
        estimates = []
        for _ in range(3000):
            fresh, r = world(k)
            estimates.append((how(torch.tensor(r)).numpy()[..., None] * fresh).mean((0, 1)))
        direct = np.var(estimates, axis=0).sum()
        assert noise(flat @ flat.T, rewards, how, k)[0] == pytest.approx(direct, rel=0.25)


def test_a_rewards_offset_changes_the_plain_variance_alone(notebook):
    """Guards exercise 3, and a baseline that does not take the offset away."""
    random = np.random.default_rng(1)
    vectors, rewards = random.normal(size=(64, 5)), random.normal(size=(2, 32))
    inner = vectors @ vectors.T
    before, after = (noise(inner, rewards + offset, notebook.leave_one_out, 4)[0] for offset in (0, 100))
    assert after == pytest.approx(before)
    assert noise(inner, rewards + 100, notebook.plain, 4)[0] > 100 * after
