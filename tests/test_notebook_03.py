"""Notebook 03: the loss that its readers see and edit is the library's, and its words are right."""

from functools import partial

import pytest
import torch
from notebook_source import load
from toy_policy import random_responses, tokens_of

from prefnb.lessons import simpo as lesson
from prefnb.logprobs import from_tokens
from prefnb.methods import simpo as library
from prefnb.methods.dpo import dpo


@pytest.fixture(scope="module")
def notebook():
    return load("03_simpo", "simpo", "swapped", "mistaken", "PAPER")


def run(objective, seed, **settings):
    """Loss, metrics and the gradients of the mean loss on the same random log-probs."""
    policy = random_responses(["chosen", "rejected"], seed)
    loss, metrics = objective(policy, **settings)
    return loss, metrics, torch.autograd.grad(loss.mean(), tokens_of(policy))


@pytest.mark.parametrize("gamma, beta", [(0.0, 2.0), (1.0, 2.5), (5.0, 10.0)])
@pytest.mark.parametrize("seed", range(3))
def test_the_notebook_s_loss_is_the_library_s(notebook, seed, gamma, beta):
    """Guards against a notebook that explains one loss and a library that trains another: numbers, metrics and
    gradients."""
    ours, theirs = (run(one, seed, gamma=gamma, beta=beta) for one in (notebook.simpo, library.simpo))
    torch.testing.assert_close(ours[0], theirs[0])
    assert ours[1].keys() == theirs[1].keys()
    for name in ours[1]:
        torch.testing.assert_close(ours[1][name], theirs[1][name])
    for our, their in zip(ours[2], theirs[2]):
        torch.testing.assert_close(our, their)


def test_the_mistakes_are_the_ones_that_are_named(notebook):
    """Guards the lesson on sum and mean: by hand, SimPO on the sum and DPO on the mean."""
    policy = from_tokens(chosen=[[-1.0, -2.0]], rejected=[[-1.0, -2.0, -3.0]])  # sums -3, -6; means -3/2, -2
    reference = from_tokens(chosen=[[-1.0, -1.0]], rejected=[[-1.0, -1.0, -1.0]])  # means -1, -1
    _, summed = notebook.mistaken(policy, reference, partial(notebook.simpo, beta=2.0, gamma=0.5))
    _, averaged = notebook.mistaken(policy, reference, partial(dpo, beta=2.0))
    assert summed["margin"].item() == pytest.approx(2 * (-3 + 6))
    assert averaged["margin"].item() == pytest.approx(2 * (-0.5 + 1.0))


def test_the_paper_s_table_is_the_paper_s(notebook):
    """Guards the printed win rates, each at its own setting of (gamma, beta)."""
    assert notebook.PAPER == {(1, 2.5): 0.688, (1, 2): 0.631, (3, 10): 0.542, (5, 10): 0.637}


@pytest.mark.parametrize("words, said", [(["holds here"] * 2, "holds here"), (["holds here", "cannot be told"], "cannot be told"),
                                         (["cannot be told", "does not hold here"], "does not hold here")])
def test_a_claim_about_every_setting_needs_every_setting(words, said):
    """Guards the verdict on the whole grid against being told from its best row."""
    assert lesson.overall(words) == said
