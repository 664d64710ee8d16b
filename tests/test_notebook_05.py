"""Notebook 05: the losses that its readers see and edit are the library's, and its estimators are right."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from notebook_source import load

from prefnb.methods import reward_model as library

RANDOM = torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def notebook():
    return load("05_reward_model", "bradley_terry", "two_classes", "reliability", "calibration_error", "order_right",
                "best_of_n", "kl_bound", "balanced", "steps_up", "against")


def same(ours, theirs, scores, **labels):
    """Losses, gradients and metrics of two objectives are equal, to the bit."""
    made = []
    for objective in (ours, theirs):
        read = {role: values.clone().requires_grad_() for role, values in scores.items()}
        loss, metrics = objective(SimpleNamespace(**read), None, **labels)
        made.append([loss.detach(), *torch.autograd.grad(loss.sum(), list(read.values())), *metrics.values()])
        names = list(metrics)
    assert len(made[0]) == len(made[1]) == 1 + len(scores) + len(names)
    return all(torch.equal(one, other) for one, other in zip(*made))


def test_the_notebook_s_losses_are_the_library_s(notebook):
    """Guards against a notebook that shows one loss and a library that trains with another."""
    chosen, rejected = torch.randn(2, 9, generator=RANDOM) * 3
    assert same(notebook.bradley_terry, library.bradley_terry, {"chosen": chosen, "rejected": rejected})
    label = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 1])
    assert same(notebook.two_classes, library.two_classes, {"response": chosen}, label=label)


def test_best_of_n_is_the_mean_over_all_subsets(notebook):
    """The binomials against every subset, one by one; N = 1 is the mean and N = K the best."""
    draw = np.random.default_rng(0)
    scores, values = draw.normal(size=(3, 6)), draw.normal(size=(3, 6))
    for n in range(1, 7):
        picks = [[values[row, max(some, key=lambda i: scores[row, i])] for some in combinations(range(6), n)]
                 for row in range(3)]
        assert notebook.best_of_n(scores, values, n) == pytest.approx(np.mean(picks, axis=1))
    assert notebook.best_of_n(scores, values, 1) == pytest.approx(values.mean(1))


def test_the_kl_bound_is_the_kl_of_best_of_n_without_ties_and_above_it_with_them(notebook):
    """Against the exact KL of best-of-n over many equally likely answers, and over two of which one is always picked."""
    for n in (1, 2, 5):
        ranks = np.arange(1, 20001) / 20000
        picked = ranks**n - (ranks - 1 / 20000) ** n
        assert notebook.kl_bound(n) == pytest.approx((picked * np.log(picked * 20000 + 1e-300)).sum(), abs=1e-3)
    low = 0.5**3  # both of two answers at one half: the worse is given only if all three draws are it
    assert low * np.log(low / 0.5) + (1 - low) * np.log((1 - low) / 0.5) < notebook.kl_bound(3)


def test_calibration_error_by_hand(notebook):
    """Guards against an unfolded diagram, where a model that is always sure and half right would look calibrated."""
    sure = np.array([50.0, -50.0] * 30)  # confidence 1, whichever answer is favoured
    assert notebook.calibration_error(sure, sure > 0) == pytest.approx(0.5)
    three_quarters = np.full(60, np.log(3))
    hits = np.arange(60) % 4 > 0
    assert notebook.calibration_error(three_quarters, hits) == pytest.approx(0, abs=0.06)
    groups = notebook.reliability(three_quarters, hits)
    assert groups[:, 0] == pytest.approx(np.full(6, 0.75)) and groups[:, 4].sum() == pytest.approx(1)


def test_the_order_is_asked_within_prompts_and_ties_are_left_out(notebook):
    """A constant per prompt changes nothing; pairs that gold cannot tell apart do not count; nothing to tell is nan."""
    gold = np.array([[1.0, 2.0, 2.05], [5.0, 5.0, 5.0]])
    proxy = np.array([[0.0, 3.0, -1.0], [1.0, 2.0, 3.0]])
    found = notebook.order_right(proxy, gold, 0.1)
    assert found[0] == pytest.approx(0.5) and np.isnan(found[1])
    moved = notebook.order_right(proxy + np.array([[7.0], [-2.0]]), gold, 0.1)
    assert moved[0] == found[0]


def test_outcomes_against_several_answers(notebook):
    """One answer, worse than one and level with the other of two: a quarter, and nothing if ties are losses."""
    one, two = np.array([[5.0]]), np.array([[5.05, 9.0]])
    assert notebook.against(one, two, 0.1).item() == 0.25
    assert notebook.against(one, two, 0.1, tied=0).item() == 0
    assert notebook.against(two, one, 0.1).tolist() == [[0.5, 1.0]]


def test_always_the_same_answer_has_balanced_accuracy_one_half(notebook):
    """Plain accuracy would say 0.9."""
    truth = np.array([1] * 9 + [0])
    assert notebook.balanced(np.ones(10), truth) == 0.5
    assert notebook.balanced(truth, truth) == 1


def test_the_verdict_on_each_step_comes_from_an_interval(notebook):
    """Guards the words that say where the proxy stops being worth following."""
    noise = np.random.default_rng(0).normal(size=200)
    curve = {1: noise, 2: noise + 1, 4: noise[::-1] + 1, 8: noise[::-1]}
    assert notebook.steps_up(curve) == {2: "rises", 4: "cannot be told", 8: "falls"}
