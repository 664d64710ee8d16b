"""What notebook 11 says of the long runs, against cases made by hand."""

from types import SimpleNamespace

import pytest

from prefnb.claims import table
from prefnb.claims.results import Estimate
from prefnb.evaluate import Crossed
from prefnb.lessons import leaderboard as lesson


def crossed(mean, both, prompts, seeds):
    return Crossed(mean, both, prompts, seeds)


def row(number, *parts):
    return table.Row(table.CLAIMS[number], list(parts), table.verdict(list(parts)))


def test_luck_names_the_larger_kind():
    """A sentence that says prompts where seeds are the larger part; half-widths .1, .2 and .25."""
    found = {"a": crossed(0.5, (0.25, 0.75), (0.4, 0.6), (0.3, 0.7))}
    said = lesson.of_luck(found)
    assert "40% as wide" in said and "0.100 to each side, against 0.250" in said and "seeds alone, 80%" in said
    assert "Here seeds are the larger part" in said
    assert "With one seed" in lesson.of_luck({"a": crossed(0.5, (0.4, 0.6), (0.4, 0.6), None)})


def test_times_the_data_is_the_square_of_half_width_over_distance():
    """(.06 / .02) squared is 9; a difference of nothing needs no end of data; what is decided is not in the table."""
    parts = [("x", Estimate(0.02, (-0.04, 0.08), 5), 1), ("y", Estimate(0.5, (0.4, 0.6), 5), 1),
             ("z", Estimate(0.0001, (-0.04, 0.04), 5), 1)]  # fmt: skip
    head, first, second = lesson.what_would_decide([row(1, *parts)])
    assert head[0] == "claim" and first[1] == "x" and first[3] == "9" and second[3] == "over 900"


def test_claims_are_counted_by_verdict():
    """One of each: counts that mix up what fails and what is open."""
    rows = [row(1, ("a", Estimate(0.2, (0.1, 0.3), 5), 1)), row(2, ("a", Estimate(0.2, (0.1, 0.3), 5), -1)),
            row(3, ("a", Estimate(0.0, (-0.1, 0.1), 5), 1))]  # fmt: skip
    assert lesson.of_claims(rows) == "**1 hold here, 1 do not, 1 cannot be told.**"
    assert [line[-1] for line in lesson.claims_table(rows)[1:]] == [
        "**holds here**", "**does not hold here**", "**cannot be told**"]  # fmt: skip


def test_ranks_and_duels_are_counted():
    """A place of its own is one whose range is one place; every duel stands in the table twice."""
    ranks = {"a": (1, 0.0, 1, 1), "b": (2, 0.0, 2, 3), "c": (3, 0.0, 2, 3)}
    assert lesson.of_ranks(ranks) == "**1 of 3 policies have a place of their own; 1 could be first: a.**"
    duels = {("a", "b"): SimpleNamespace(sign=1), ("b", "a"): SimpleNamespace(sign=-1),
             ("a", "c"): SimpleNamespace(sign=0), ("c", "a"): SimpleNamespace(sign=0)}  # fmt: skip
    assert lesson.undecided(duels) == 1


@pytest.mark.parametrize("seeds", [None, (0.45, 0.55)])
def test_the_picture_of_luck_has_a_line_for_every_kind_there_is(seeds):
    """A legend of what is not drawn."""
    figure = lesson.plot_luck({"a": crossed(0.5, (0.4, 0.6), (0.42, 0.58), seeds)})
    assert len(figure.axes[0].get_legend().get_texts()) == (3 if seeds else 2)
