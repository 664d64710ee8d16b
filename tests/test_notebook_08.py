"""Notebook 08: what its readers see and edit is the library's, and its front and its solutions are right."""

import numpy as np
import pytest
import torch
from notebook_source import load
from toy_policy import random_responses, tokens_of

from prefnb.methods import multi_objective, rloo


@pytest.fixture(scope="module")
def notebook():
    return load("08_multi_objective", "reinforce", "gaps", "weighted_gaps", "linear", "soft_chebyshev",
                "answer_1", "answer_2", "answer_3", "check_exercises")


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


def test_the_printed_solutions_pass_the_notebook_s_own_check(notebook, capsys):
    """Guards against solutions that the checking cell would refuse; all follow from the library's own functions."""
    gaps = multi_objective.gaps(torch.tensor([[0.6, 0.9]], dtype=torch.float64))
    one = (multi_objective.weighted_gaps(gaps, [2, 1]).item(), multi_objective.soft_chebyshev(gaps, [2, 1], 1e6).item())
    two = rloo.leave_one_out(torch.tensor([[-0.9, -0.3, -0.6]])).tolist()[0]
    pair, mixes = torch.tensor([[0.9, 0.5], [0.6, 0.7]], dtype=torch.float64), np.linspace(0, 1, 101)
    three = min(mixes, key=lambda a: abs(np.subtract(*multi_objective.linear(pair, [a, 1 - a]).tolist())))
    names = notebook.check_exercises.__globals__
    names |= {"answer_1": one, "answer_2": two, "answer_3": three}
    notebook.check_exercises()
    names |= {"answer_1": None, "answer_2": (0, 0), "answer_3": 0.5}
    notebook.check_exercises()
    said = capsys.readouterr().out
    assert said.count("right") == 3 and said.count("not yet") == 1 and said.count("not answered yet") == 1


def test_words_where_a_number_is_asked_for_are_answered_with_a_sentence(notebook, capsys):
    """Guards against a TypeError as the answer to an answer."""
    notebook.check_exercises.__globals__.update(answer_1="one half", answer_2=0.5)
    notebook.check_exercises()
    said = capsys.readouterr().out
    assert "1: give 2 numbers, and not 'one half'" in said and said.count("and not") == 2
