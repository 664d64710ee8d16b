"""Notebook 00: what its prose says of the judge and of the annotators' noise."""

import numpy as np
import pytest
import torch
from notebook_source import load

from prefnb import mistakes, pocket

ABOUT = "Describe the fox. Mention what colour it has, where it lives and what it eats."


@pytest.fixture(scope="module")
def totals():
    """The judge's total of each hand-written answer."""
    answers = load("00_pocket_world", "answers").answers
    return {label: pocket.score(ABOUT, answer).total for label, answer in answers.items()}


def test_hand_written_answers_are_graded_as_a_reader_would(totals):
    """A judge that prefers a flaw to the plain right answer, in the first table a learner sees."""
    right = totals.pop("right")
    assert totals.pop("right, said otherwise") == pytest.approx(right, abs=pocket.TIE)
    assert all(total < right - pocket.TIE for total in totals.values())
    assert min(totals, key=totals.get) == "empty"


def test_one_slip_costs_more_where_less_is_asked():
    """The lesson that scores of different prompts cannot be compared."""
    few, many, slips = (getattr(load("00_pocket_world", "few", "many", "slips"), name) for name in ("few", "many", "slips"))
    assert pocket.score(few, slips[few]).total < pocket.score(many, slips[many]).total - pocket.TIE


def test_the_noise_flips_what_the_exercise_takes_for_right():
    """The right share of flipped labels, against drawn annotators."""
    gap, noise = np.array([0.3, 1.0, 2.5]), 2.0
    logistic = np.random.default_rng(0).logistic(scale=noise, size=(200_000, 3))
    expected = mistakes.FLIPS.right(torch.tensor(gap), noise).item()
    assert expected == pytest.approx((gap + logistic < 0).mean(), abs=0.005)
