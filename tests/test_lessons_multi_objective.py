"""What 08 shows: dominated points, what a rule chooses, and each branch of its sentences, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prefnb import widgets
from prefnb.judges import Scores
from prefnb.lessons import multi_objective as lesson
from prefnb.methods import rloo


@pytest.fixture
def said(monkeypatch):
    """The sentences and tables that a function puts on the page."""
    found = []
    monkeypatch.setattr(widgets, "say", found.append)
    monkeypatch.setattr(widgets, "show_table", lambda *rows: found.append(rows))
    return found


def test_a_dominated_point_has_another_that_is_no_worse_anywhere():
    """Equal points do not dominate each other, and one better objective is not enough if the other is worse."""
    points = [[0.5, 0.5], [0.5, 0.5], [0.6, 0.4], [0.5, 0.4], [0.1, 0.1]]
    assert lesson.dominated(points).tolist() == [False, False, False, True, True]


def test_two_words_have_the_pushes_that_the_text_works_out(said):
    """The table under the loss against the numbers above it."""
    lesson.show_two_words(rloo.reinforce)
    (_, plain, better), sentence = said
    assert plain[1:] == pytest.approx([-1.5, 1.5, -0.75, 1.6875]) and better[1:] == pytest.approx([-0.25, -2.25, -0.75, 0.75])
    assert "both average to -0.75; the variance is 2.25 times" in sentence


def test_a_reader_s_loss_that_does_not_average_to_the_slope_is_told_so(said):
    squared = lambda policy, *, advantage: (-advantage.square() * policy.sample.sum, {})  # noqa: E731
    lesson.show_two_words(squared)
    assert "they average to 6.00 and -1.50" in said[1]


def test_equal_rewards_are_said_to_be_level(said):
    scores = torch.tensor([[0.9, 0.5], [0.5, 0.9], [0.7, 0.7]])
    lesson.show_gaps(scores, 1 - scores, {(0.5, 0.5): torch.zeros(3), (1, 0): torch.tensor([0.0, -1.0, -0.5])})
    assert said[0][1] == ["0.5, 0.5", "A", "0.9, 0.5", "0.1, 0.5", 0.0]
    assert said[1] == "**The best and the worst reward are 0.00 apart with weights 0.5, 0.5, and 1.00 apart with weights 1.0, 0.0.**"


def test_a_rule_chooses_the_best_and_of_equals_all_alike():
    vectors = torch.tensor([[[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.0], [0.5, 1.0]]])
    first = lesson.choices(vectors, {"first": lambda s: s[:, 0]})
    assert first["any answer"].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert first["first"].tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_what_a_weight_buys_is_told_of_both_objectives():
    chosen_by = {"linear 0": np.zeros((5, 2)), "linear 1": np.tile([0.3, -0.1], (5, 1))}
    found = lesson.bought(chosen_by, ["help", "fluency"], [1, 0])
    assert found.title == "weight 0 to 1 on help: +0.30 of it, -0.10 fluency"
    assert "by +0.30 [+0.30, +0.30] in help and by -0.10" in str(found)
    assert [row[-1] for row in lesson.claims_of_weights(chosen_by, ["help", "fluency"], [0, 1])] == ["holds here"] * 2


@pytest.mark.parametrize("together, word", [(0.1, "hardly"), (0.6, "nothing cancels"), (-0.6, "cancels a part")])
def test_a_correlation_says_what_cancels(together, word):
    assert word in lesson.cancelling(together)


def test_a_tie_is_half_in_order():
    sides = [Scores(np.zeros(3), {"a": np.array(values)}) for values in ([1.0, 0.0, 0.5], [0.0, 1.0, 0.5])]
    assert lesson.in_order(lambda s: s[:, 0], tuple(sides)).tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("gain, word", [(1.0, "better than"), (-1.0, "worse than"), (0.0, "neither better nor worse")])
def test_the_learnt_rule_is_held_against_the_one_set_by_hand(said, gain, word):
    hits = np.full(20, 0.5)
    lesson.show_accuracy({"learned f": hits + gain / 2, "hand": hits}, "hand", "the gold score")
    assert word in said[1] and "gold" not in said[1]


def test_the_best_chooser_is_named_only_if_it_can_be_told():
    low, high, noisy = np.zeros(20), np.ones(20), np.tile([0.0, 2.1], 10)
    assert '"high" chooses best' in lesson.best_chooser({"low": low, "high": high}, "gold")
    assert "cannot be told apart" in lesson.best_chooser({"noisy": noisy, "high": high}, "gold")


def test_a_training_is_told_with_what_it_changed():
    curve = lambda first, last: (None, np.array([first] * 5 + [0.0] * 5 + [last] * 5))  # noqa: E731
    history = {"reward": curve(1, 2), "length": curve(40, 30), "entropy": curve(0.3, 0.2), "grad_norm": curve(3, 3)}
    history = type("H", (dict,), {"rows": range(15)})(history)
    told = lesson.how_it_went("as printed", history, {"help": "+0.10 [+0.00, +0.20]"}, SimpleNamespace())
    assert "15 steps: reward 1.00 to 2.00**, length 40.00 to 30.00" in told and "gradient norm was 2.0" in told
    assert "SFT: help +0.10" in told
