"""Notebook 02: the loss that its readers see and edit is the library's, and its words are right."""


import pytest
import torch
from notebook_source import load
from toy_policy import random_responses, tokens_of

from prefnb.methods import dpo as library


@pytest.fixture(scope="module")
def notebook():
    return load("02_dpo", "dpo")


def run(objective, seed, **settings):
    """Loss, metrics and the gradients of the mean loss on the same random log-probs."""
    policy, reference = random_responses(["chosen", "rejected"], seed), random_responses(["chosen", "rejected"], seed + 100)
    loss, metrics = objective(policy, reference, **settings)
    return loss, metrics, torch.autograd.grad(loss.mean(), tokens_of(policy))


@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_notebook_s_loss_is_the_library_s(notebook, seed, beta):
    """Guards against a notebook that explains one loss and a library that trains another: numbers, metrics and
    gradients."""
    ours, theirs = run(notebook.dpo, seed, beta=beta), run(library.dpo, seed, beta=beta)
    torch.testing.assert_close(ours[0], theirs[0])
    assert ours[1].keys() == theirs[1].keys()
    for name in ours[1]:
        torch.testing.assert_close(ours[1][name], theirs[1][name])
    for our, their in zip(ours[2], theirs[2]):
        torch.testing.assert_close(our, their)


def test_the_printed_kl_cancels_the_push_on_the_rejected_at_beta():
    """Guards the second solution: at step 0 and weight beta, S(yl) has no gradient left."""
    reference = random_responses(["chosen", "rejected"], 0)
    policy = random_responses(["chosen", "rejected"], 0)
    loss, _ = library.dpo_kl_as_printed(policy, reference, beta=0.1, weight=0.1)
    chosen, rejected = torch.autograd.grad(loss.sum(), tokens_of(policy))
    assert rejected.abs().max() < 1e-9 and chosen.abs().max() > 0.05
