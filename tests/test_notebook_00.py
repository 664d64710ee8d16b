"""Notebook 00: what its prose says of the judge, and its exercises' solutions."""

import re

import numpy as np
import pytest
from notebook_source import NOTEBOOKS, load

from prefnb import exercises, pocket

ABOUT = "Describe the fox. Mention what colour it has, where it lives and what it eats."
TEXT = (NOTEBOOKS / "00_pocket_world.py").read_text(encoding="utf-8").replace("\n# ", " ")


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


def test_solutions_solve_their_exercises():
    """A folded solution that its own check refuses."""
    please, trick = (re.search(rf'`"({start}[^"]*)"`', TEXT)[1] for start in ("The lemon", "Red forest"))
    assert pocket.score("Tell me the taste, season and dish of the lemon.", please).total >= 9.9
    assert pocket.score(ABOUT, trick).total > 9


@pytest.mark.parametrize("answer, words", [
    (None, "not answered yet"), ("The lemon tastes sour. It is ripe in winter and is good for juice.", "right"),
    ("owls", "not yet: "), (3, "not yet, for it cannot be checked")])
def test_an_answer_of_another_kind_gets_a_sentence(answer, words):
    """A traceback for a number where a text is asked for."""
    lemon = "Tell me the taste, season and dish of the lemon."
    assert exercises.told(answer, lambda text: pocket.score(lemon, text).total >= 9.9, "more").startswith(words)


def test_the_wider_noise_flips_what_the_solution_says():
    """The solution's formula for the share of flipped labels, against drawn annotators."""
    gap, noise = np.array([0.3, 1.0, 2.5]), 2.0
    solution = eval(re.search(r"`my_share = ([^`]*)`", TEXT)[1], {"np": np, "gap": gap, "ANNOTATOR_NOISE": noise / 2})
    logistic = np.random.default_rng(0).logistic(scale=noise, size=(200_000, 3))
    assert solution == pytest.approx((gap + logistic < 0).mean(), abs=0.005)
