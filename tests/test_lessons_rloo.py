"""What 09 shows: the toy's numbers and each branch of its sentences, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prefnb import widgets
from prefnb.evaluate import WinRate
from prefnb.lessons import rloo as lesson
from prefnb.methods import rloo

PI = torch.tensor([0.75, 0.25])


@pytest.fixture
def said(monkeypatch):
    """The sentences and tables that a function puts on the page."""
    found = []
    monkeypatch.setattr(widgets, "say", found.append)
    monkeypatch.setattr(widgets, "show_table", lambda *rows: found.append(rows))
    return found


def test_the_mean_of_all_is_three_quarters_of_leave_one_out(said):
    four = torch.tensor([[1.0, 2.0, 3.0, 6.0]])
    lesson.show_four(four, rloo.leave_one_out(four))
    assert said[0][1][1:] == pytest.approx([11 / 3, 10 / 3, 3, 2])
    assert "0.75 times the leave-one-out one" in said[1]
    lesson.show_four(four, four)  # a reader's own, which forgets the baseline
    assert "this is not leave-one-out" in said[3]


def test_ten_samples_say_which_estimates_lie_closer():
    """Both average to the slope of -0.75, and the words follow the variances."""
    ours, theirs = {"plain": rloo.plain, "leave-one-out": rloo.leave_one_out}, {"plain": rloo.leave_one_out, "leave-one-out": rloo.plain}
    given = torch.tensor([2.0, 6.0]), PI, torch.tensor([0.25, -0.75]), 0
    figure, told = lesson.ten_samples(ours, *given)
    assert "lie closer to the truth" in told and "less variance" in figure.axes[0].get_title()
    assert figure.axes[0].get_legend().get_texts()[1].get_text().startswith("leave-one-out: mean -0.7")
    assert "lie no closer to the truth" in lesson.ten_samples(theirs, *given)[1]


@pytest.mark.parametrize("last, word", [(10.7, "**10.7 times** noisier than"), (0.5, "**2.0 times** less noisy than"), (1.0, "as noisy as")])
def test_the_noise_is_told_by_its_ratio(last, word):
    assert f"With K = 8 the plain estimate is {word} the leave-one-out one" in lesson.how_noisy([4, 8], [3.0, last])


@pytest.mark.parametrize("cosine, word", [(0.1, "mostly noise"), (0.9, "not all noise")])
def test_gradients_that_point_somewhere_are_not_called_noise(said, cosine, word):
    measured = {name: np.array([[6.0, cosine]]) for name in ("plain", "batch mean", "leave-one-out")}
    lesson.show_variance([2], measured, 10_000)
    assert said[2] == "**The batch's mean as a baseline has 1.00 times the leave-one-out variance at K = 2.**"
    assert word in said[3] and "0.010 or so" in said[3]
    assert lesson.variance_figure([2], measured).axes[1].get_title() == f"the cosine is {cosine:.2f} at most"


@pytest.mark.parametrize("gain, word", [(1.0, "paid"), (-1.0, "over-optimised"), (None, "cannot tell")])
def test_over_optimisation_needs_another_judge_and_an_interval(gain, word):
    assert word in lesson.over_optimised(None if gain is None else np.full(20, gain), "gold")
    assert "cannot tell" in lesson.over_optimised(np.tile([1.0, -1.0], 20), "gold")


def test_without_another_judge_only_the_proxy_s_score_is_told():
    told = [lesson.gained("pupil", {"k3": 21.7}, np.ones(9), true, "gold", "No sign of collapse") for true in (None, -np.ones(9))]
    assert "gold" not in told[0] and "21.7 nats" in told[0]
    assert "the proxy's score rose (+1.00 [+1.00, +1.00]); the gold score fell (-1.00" in told[1]


def test_the_flaw_that_changes_most_is_named(said):
    flaws = {"SFT": {"rambling": np.zeros(4), "boilerplate": np.ones(4)}, "RLOO": {"rambling": np.zeros(4), "boilerplate": np.array([1, 0, 0, 0])}}
    lesson.show_flaws(SimpleNamespace(answers=flaws, flaws=flaws.get), ["RLOO"])
    assert said[0][2] == ["boilerplate", "100%", "25%"]
    assert said[1] == "**Against SFT the flaw that changes most is *boilerplate* with RLOO (-75 points).**"


def test_without_a_judge_only_the_noise_is_a_claim():
    rate = WinRate(10, 0.8, (0.7, 0.9), 0.0, 0.0, 0.0, (0.0, 0.0))
    judged = SimpleNamespace(judge="gold", win_rate=lambda *labels: rate)
    assert [row[3] for row in lesson.claims(judged, 0.5, 8)] == ["not so", "holds here", "holds here"]
    assert [row[3] for row in lesson.claims(SimpleNamespace(judge=None), 2.0, 8)] == ["so it was"]


def test_the_spreads_are_those_of_rows_and_of_their_means(said):
    lesson.say_spreads(np.array([[1.0, 3.0], [5.0, 7.0]]))
    assert said[0] == ("2 prompts were answered 2 times each. Rewards average **4.00**; within a prompt they lie **1.41** around "
                       "their mean, and the prompts' means **2.00** around theirs.")  # fmt: skip
