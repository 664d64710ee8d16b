"""Ranks: Bradley-Terry against cases by hand and another minimiser, and ranges as wide as the data leave them."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from prefnb import evaluate
from prefnb.judges import Scores


def test_two_policies_are_as_far_apart_as_the_logit_of_the_win_share():
    """By hand: 3 wins of 4 are log-odds of ln 3, of which each side has half; counts and shares alike."""
    half = math.log(3) / 2
    assert evaluate.bradley_terry([[0, 3], [1, 0]]) == pytest.approx([half, -half])
    assert evaluate.bradley_terry([[0.5, 0.75], [0.25, 0.5]]) == pytest.approx([half, -half])


def test_strengths_are_found_again_from_what_they_make():
    """From the exact shares of known strengths these come back; a whole stack of tables as each alone."""
    true = np.array([1.2, 0.3, 0.0, -0.4, -1.1])
    shares = expit(true[:, None] - true)
    assert evaluate.bradley_terry(shares) == pytest.approx(true, abs=1e-7)
    stack = np.stack([shares, shares.T])
    assert evaluate.bradley_terry(stack) == pytest.approx(np.stack([true, -true]), abs=1e-7)


def test_strengths_are_the_likeliest_also_where_pairs_met_unequally_often():
    """Against a general minimiser of the same likelihood."""
    wins = np.random.default_rng(0).integers(1, 30, (6, 6)).astype(float)
    np.fill_diagonal(wins, 0)
    loss = lambda s: (wins * np.logaddexp(0, s[None, :] - s[:, None])).sum()  # noqa: E731
    best = minimize(loss, np.zeros(6), tol=1e-12).x
    assert evaluate.bradley_terry(wins) == pytest.approx(best - best.mean(), abs=1e-4)


@pytest.mark.parametrize(
    "wins, words",
    [
        ([[0, 4], [0, 0]], "no finite strength"),
        ([[0, 1, 2, 2], [1, 0, 2, 2], [0, 0, 0, 1], [0, 0, 1, 0]], "no finite strength"),  # two halves
        ([[0.0]], "square table"),
        ([[0, 1, 1], [1, 0, 1]], "square table"),
    ],
)
def test_wins_that_no_strengths_fit_are_refused(wins, words):
    """They would run off to infinity, and the loop with them."""
    with pytest.raises(ValueError, match=words):
        evaluate.bradley_terry(wins)


# ---------------------------------------------------------------- ranges


def scores(skills, seeds=3, prompts=200, draws=2, by_seed=0.0, seed=0):
    """{label: (seeds, prompts, draws)} of policies with these mean scores; prompts differ for all alike."""
    rng = np.random.default_rng(seed)
    prompt = rng.normal(size=(prompts, 1))
    return {
        f"{skill:+.1f} {number}": skill
        + rng.normal(0, by_seed, (seeds, 1, 1))
        + prompt
        + rng.normal(size=(seeds, prompts, draws))
        for number, skill in enumerate(skills)
    }


def test_policies_that_differ_have_ranks_of_their_own_and_equals_share_a_range():
    """A list has a first place even where two are level: their ranges say so, and those of the others do not."""
    ranks = evaluate.rank_ranges(scores([0.0, 2.0, 0.0, -2.0]))
    assert list(ranks)[0] == "+2.0 1" and list(ranks)[-1] == "-2.0 3"
    assert ranks["+2.0 1"][1:] == (1, 1, 1) and str(ranks["-2.0 3"]) == "4 (4 to 4)"
    assert all((ranks[one].lowest, ranks[one].highest) == (2, 3) for one in ("+0.0 0", "+0.0 2"))
    strength, rank, lowest, highest = ranks["+0.0 0"]
    assert lowest <= rank <= highest and sum(one.strength for one in ranks.values()) == pytest.approx(0, abs=1e-9)


def test_the_strengths_are_those_of_the_win_rates():
    """Two policies: the logit of the win rate, ties as half, with one tie more than there are prompts."""
    two = {label: one.round(1) for label, one in scores([0.5, 0.0]).items()}
    a, b = two.values()
    rate = np.mean([evaluate.win_rate(a[s], b[s], tie=0.2).rate for s in range(3)])
    rate = (200 * rate + 0.5) / 201
    ranks = evaluate.rank_ranges(two, tie=0.2)
    assert ranks["+0.5 0"].strength == pytest.approx(math.log(rate / (1 - rate)) / 2)


def test_copies_are_level_in_every_resample():
    """The same policy under two names shares the better rank: rounding must not put one before the other."""
    found = scores(np.arange(9) / 5, prompts=50)
    copied = found["+0.8 4"]
    ranks = evaluate.rank_ranges({**found, "one copy": copied, "another": copied})
    assert ranks["one copy"][1:] == ranks["another"][1:] == ranks["+0.8 4"][1:]
    assert sorted(one.rank for one in ranks.values()) == [1, 2, 3, 4, 5, 5, 5, 8, 9, 10, 11]


def test_seeds_that_differ_make_ranges_wider():
    """Four methods whose seeds differ more than the methods do: over prompts alone they would be told apart."""
    found = scores([0.0, 0.2, 0.4, 0.6], seeds=4, by_seed=0.5, draws=4)
    width = lambda ranks: sum(one.highest - one.lowest for one in ranks.values())  # noqa: E731
    first = {label: Scores(one[0]) for label, one in found.items()}
    assert width(evaluate.rank_ranges(found)) > width(evaluate.rank_ranges(first)) + 2


def test_a_policy_without_seeds_meets_every_seed_of_the_others():
    """The base model has none, and need not be copied; greedy, it has one answer where others have several."""
    found = scores([1.0, 0.5], seeds=3)
    base = scores([0.0], seeds=1, draws=1, seed=1)["+0.0 0"]
    once = evaluate.rank_ranges({**found, "base": base[0]})
    assert once == evaluate.rank_ranges({**found, "base": np.repeat(base, 3, 0)}) and once["base"].rank == 3


def test_a_policy_that_loses_everywhere_is_last():
    """Weights that have diverged say nothing: no infinite strength, and no loop without end."""
    ranks = evaluate.rank_ranges({**scores([0.0, 0.1]), "lost": np.full((3, 200, 1), -99.0)})
    assert ranks["lost"][1:] == (3, 3, 3) and -9 < ranks["lost"].strength < -3


@pytest.mark.parametrize(
    "more, words",
    [
        ({"b": np.zeros((2, 5, 1))}, "seeds as many or one"),
        ({"b": np.zeros((3, 1, 1))}, "same prompts"),
        ({"b": np.zeros(5)}, "'b' must be"),
        ({}, "two policies or more"),
    ],
)
def test_policies_that_cannot_be_ranked_are_named(more, words):
    """One prompt, or one seed too few, would be repeated without a word."""
    with pytest.raises(ValueError, match=words):
        evaluate.rank_ranges({"a": np.zeros((3, 5, 1)), **more})
