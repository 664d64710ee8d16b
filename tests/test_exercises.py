"""Exercises: the solution passes, the stub is told that it is one, and every planted mistake gets its own sentence."""

from functools import partial

import pytest
import torch
from torch.nn.functional import logsigmoid

from prefnb import exercises
from prefnb.methods.dpo import dpo
from prefnb.methods.rloo import leave_one_out
from prefnb.methods.simpo import simpo

RIGHT = {
    "DPO": (partial(dpo, beta=exercises.BETA), exercises.DPO),
    "SimPO": (partial(simpo, beta=exercises.BETA, gamma=exercises.GAMMA), exercises.SIMPO),
}
PLANTED = [(name, mistake) for name, (_, mistakes) in RIGHT.items() for mistake in mistakes]


@pytest.mark.parametrize("name", RIGHT)
def test_the_solution_is_right_and_the_stub_is_no_answer(name):
    """A reader who is right and is told that they are not; also with the loss's values alone, and written otherwise."""
    right, mistakes = RIGHT[name]
    assert exercises.of_loss(right, right, mistakes) == "right"
    assert exercises.of_loss(lambda policy, reference: right(policy, reference)[0] + 0, right, mistakes) == "right"
    assert exercises.of_loss(None, right, mistakes) == "not answered yet"
    assert exercises.of_loss(lambda policy, reference: None, right, mistakes) == "not answered yet"


@pytest.mark.parametrize("name, mistake", PLANTED)
def test_every_planted_mistake_gets_its_own_sentence(name, mistake):
    """Two mistakes that cannot be told apart, or one that passes for right."""
    right, mistakes = RIGHT[name]
    assert exercises.of_loss(mistakes[mistake], right, mistakes) == f"not yet: yours is the right one with {mistake}"


def test_dpo_written_out_is_right_and_a_detach_is_seen():
    """The whole formula by hand; then with the rejected side hidden from the gradient, which changes no value."""
    right, mistakes = RIGHT["DPO"]

    def by_hand(policy, reference, hide=lambda values: values):
        d_chosen = policy.chosen.token.where(policy.chosen.mask, 0).sum(1) - reference.chosen.sum
        d_rejected = hide(policy.rejected.sum) - reference.rejected.sum
        return -logsigmoid(0.1 * (d_chosen - d_rejected))

    assert exercises.of_loss(by_hand, right, mistakes) == "right"
    assert "its gradient is not" in exercises.of_loss(partial(by_hand, hide=torch.detach), right, mistakes)


@pytest.mark.parametrize("answer, says", [
    (lambda policy: 0, "called as loss(policy, reference)"),
    (lambda policy, reference: 0.3, "and not float"),
    (lambda policy, reference: policy.chosen.sum.mean(), "one number a pair"),
    (lambda policy, reference: policy.chosen.sum.detach(), "no gradient"),
    (lambda policy, reference: policy.chosen.sum, "not yet: where yours gives"),
    ("DPO", "TypeError"),
])  # fmt: skip
def test_what_is_no_loss_or_another_one_is_said(answer, says):
    right, mistakes = RIGHT["DPO"]
    said = exercises.of_loss(answer, right, mistakes)
    assert says in said and "\n" not in said


@pytest.mark.parametrize("mistake", exercises.ADVANTAGES)
def test_a_wrong_baseline_is_named(mistake):
    """Of all of them a sample's own reward in its baseline is met most, and hardly seen in a curve."""
    said = exercises.of_advantages(exercises.ADVANTAGES[mistake], leave_one_out)
    assert said == f"not yet: yours is the right one with {mistake}"


def test_advantages_that_are_right_missing_or_no_advantages():
    assert exercises.of_advantages(leave_one_out, leave_one_out) == "right"
    assert exercises.of_advantages(None, leave_one_out) == "not answered yet"
    assert "shape of the rewards, (3, 4)" in exercises.of_advantages(lambda rewards: rewards.mean(), leave_one_out)
    assert "it fails" in exercises.of_advantages(lambda: 1, leave_one_out)
    assert "not yet: where yours gives" in exercises.of_advantages(lambda rewards: rewards * 3, leave_one_out)


@pytest.mark.parametrize("given, right, says", [
    (None, 0.5, "not answered yet"), (0.504, 0.5, "right"), ("0.5", 0.5, "right"), (0.6, 0.5, "not yet"), (float("nan"), 0.5, "not yet"),
    ("half", 0.5, "give a number, and not 'half'"), ((1, 2), [1.0, 2.0], "right"), ((1, 3), [1.0, 2.0], "not yet"),
    (1, [1.0, 2.0], "give 2 numbers, and not 1"),
])  # fmt: skip
def test_numbers_are_held_against_the_right_ones(given, right, says):
    """A near miss that passes, a word that ends in a traceback, one number where two are asked for."""
    assert exercises.of_numbers(given, right, within=0.01) == says


def test_what_cannot_be_checked_is_told_with_the_reason():
    assert exercises.told(None, lambda given: True, "") == "not answered yet"
    assert exercises.told(1, lambda given: given > 0, "") == "right"
    assert exercises.told(1, lambda given: given < 0, "look again") == "not yet: look again"
    assert "cannot be checked" in exercises.told("x", float, "")
