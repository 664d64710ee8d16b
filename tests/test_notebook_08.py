"""Notebook 08: what its readers see and edit is the library's, and its front is right."""

import pytest
import torch
from notebook_source import load
from toy_policy import random_responses, tokens_of

from prefnb.methods import multi_objective, rloo


@pytest.fixture(scope="module")
def notebook():
    return load("08_multi_objective", "reinforce", "gaps", "weighted_gaps", "linear", "soft_chebyshev")


@pytest.mark.parametrize("kl_weight", [0.0, 0.3])
def test_the_notebook_s_loss_is_the_library_s(notebook, kl_weight):
    """In value, gradient and metrics: what readers see is what the recipes train with."""
    advantage, found = torch.tensor([-0.5, -0.1, 0.2, 0.0], dtype=torch.float64), []
    for module in (notebook, rloo):
        policy, reference = random_responses(["sample"], 1), random_responses(["sample"], 1)
        reference.sample.token.data *= 1.1
        loss, metrics = module.reinforce(policy, reference, advantage=advantage, kl_weight=kl_weight)
        found.append((loss, metrics, torch.autograd.grad(loss.sum(), tokens_of(policy))[0]))
    (loss, metrics, gradient), (their_loss, their_metrics, their_gradient) = found
    assert torch.equal(loss, their_loss) and torch.equal(gradient, their_gradient)
    assert metrics.keys() == their_metrics.keys() and all(torch.equal(metrics[n], their_metrics[n]) for n in metrics)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_notebook_s_rules_are_the_library_s(notebook, k):
    """The three rules and the gaps, in value and gradient."""
    scores = torch.rand(5, k, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    weights = [0.2 + i for i in range(k)]
    rules = {
        "linear": lambda module, s: module.linear(s, weights),
        "weighted gaps": lambda module, s: module.weighted_gaps(module.gaps(s, 0.8), weights),
        "Chebyshev": lambda module, s: module.soft_chebyshev(module.gaps(s), weights, 7.0),
    }
    for rule in rules.values():
        ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
        assert torch.equal(rule(notebook, ours), rule(multi_objective, theirs))
        rule(notebook, ours).sum().backward()
        rule(multi_objective, theirs).sum().backward()
        assert torch.equal(ours.grad, theirs.grad)
