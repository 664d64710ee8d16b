"""The sentences that notebooks share: each of their branches, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from prefnb import evaluate
from prefnb.evaluate import WinRate
from prefnb.lessons import words

UP, DOWN, LEVEL = (0.2, 0.4), (-0.4, -0.2), (-0.1, 0.1)


def rate(low, high):
    return WinRate(10, (low + high) / 2, (low, high), 0.0, 0.0, 0.0, (0.0, 0.0))


RATES = {"a_one": rate(0.55, 0.7), "b": rate(0.3, 0.45), "c": rate(0.45, 0.55)}


@pytest.mark.parametrize("names, said", [([], "none"), (["a"], "a"), (["a", "b"], "a and b"), ("abc", "a, b and c"), (["a, 1", "b"], "a, 1; b")])
def test_a_list_reads_as_one(names, said):
    assert words.listed(names) == said


def test_words_come_from_the_interval_and_not_from_the_mean():
    """A mean above 0 whose interval has 0 in it."""
    assert [words.by_sign(one, "up", "down", "level") for one in (UP, DOWN, LEVEL, (-0.1, 0.9))] == ["up", "down", "level", "level"]
    assert words.place([1.0] * 9) == "above the reference"
    assert words.place([-1.0] * 9, "SFT") == "below SFT"
    assert words.place([-1.0, 1.0] * 9) == "at the reference, as far as can be told"
    assert words.lead([0.5] * 9) == "better (+0.50 [+0.50, +0.50])"


def test_two_intervals_that_overlap_are_level():
    assert [words.apart(one, other, "more", "less", "level") for one, other in ((UP, LEVEL), (DOWN, LEVEL), (UP, (0.3, 0.5)))] == [
        "more", "less", "level"]  # fmt: skip


def test_who_wins_counts_and_names(capsys):
    assert [words.against(one) for one in RATES.values()] == ["wins against SFT", "loses against SFT", "cannot be told from SFT"]
    assert words.who_wins(RATES) == (
        "**1 of 3 policies wins against SFT: a_one.** Worse than SFT: b. Not to be told from SFT: c."
    )
    assert words.who_wins({"b": RATES["b"]}, "DPO") == "**0 of 1 policies win against DPO: none.** Worse than DPO: b."
    assert words.categories_won(RATES, "DPO", "gold") == (
        "**Of the 3 categories DPO wins 1** (a one), **loses 1** (b), and 1 cannot be told (c); judge: gold."
    )
    words.print_rate("DPO", RATES["a_one"])
    assert capsys.readouterr().out == "DPO against SFT: 0.625 [0.550, 0.700]\n"


def sample(text, finished=True):
    return SimpleNamespace(text=text, ids=text.split(), finished=finished)


def compared(**more):
    """A comparison as the words read it: two prompts, two draws each."""
    good = [sample(f"one two three {i}") for i in range(4)]
    answers = {"SFT": good, "DPO": good, "short": [sample("x")] * 4}
    given = dict(answers=answers, baseline="SFT", judge=None, gold=None, win_rates={})
    found = SimpleNamespace(**given | more)
    found.collapse = lambda label: evaluate.collapse_check(answers[label], answers["SFT"])
    return found


def test_how_they_ended_has_a_line_for_each_and_the_reason_of_a_collapse():
    """A policy whose answers have shrunk to a quarter, told without a judge and with one."""
    first, second = words.how_they_ended(compared()).split("\n")
    assert first == "- **DPO** has not collapsed."
    assert second.startswith("- **short** has collapsed: its responses are 0.25 times as long")
    judged = compared(judge="gold", win_rates={"DPO": RATES["a_one"]})
    told = words.how_it_ended(judged, "DPO", lengths=True)
    assert told == "- **DPO** wins against SFT and has not collapsed (mean length 4.0 tokens, SFT 4.0; 100% end)."


def test_what_changed_is_counted_by_prompt():
    flaws = {"SFT": {"rambling": np.array([[True, True], [False, True]])}, "DPO": {"rambling": np.zeros((2, 2), bool)}}
    right = {"SFT": np.full((2, 2), 0.5), "DPO": np.full((2, 2), 0.75)}
    found = compared(gold="gold", flaws=flaws.get)
    found.scores_by = lambda judge, label: SimpleNamespace(parts={"helpfulness": right[label]})
    changed = words.changes_of(found, "DPO")
    assert changed["rambling"][:2] == (0.75, 0.0) and changed["rambling"][2].tolist() == [-1.0, -0.5]
    assert changed["parts that are right"][2].tolist() == [0.25, 0.25]
    assert words.changes_of(compared(), "DPO") == {}


def test_a_curve_is_told_from_its_first_part_to_its_last():
    """Twenty steps in quarters of five; of fewer nothing is told but the mean."""
    long, short = {"reward": (None, np.arange(20.0))}, {"reward": (None, np.arange(4.0))}
    assert words.first_to_last(long, "reward") == "2.00 to 17.00"
    assert words.first_to_last(short, "reward") == "1.50 throughout"
    assert words.live_means({"a": short, "b": long}, ["reward"]) == [["a", 1.5], ["b", 9.5]]
    assert words.each_rate({"DPO": RATES["a_one"]}) == "**DPO beats SFT**, 0.62 [0.55, 0.70] (ties 0.00)"


def test_what_moved_is_told_with_its_figure_and_the_rest_by_name(monkeypatch):
    """Moved and not moved, and a run in which nothing did."""
    said = []
    monkeypatch.setattr(words.widgets, "say", said.append)
    monkeypatch.setattr(words.widgets, "show_table", lambda *rows: None)
    found = {"rambling": (0.75, 0.0, np.array([-1.0, -0.5])), "parts": (0.5, 0.5, np.array([0.1, -0.1] * 9))}
    monkeypatch.setattr(words, "changes_of", lambda *_: found)
    words.show_changes(compared(), "DPO")
    del found["rambling"]
    words.show_changes(compared(), "DPO, beta 1", "DPO")
    assert said == ["**After DPO, rambling fell (-0.75 [-1.00, -0.50]).** By no more than chance: parts.",
                    "**After DPO, nothing moved by more than chance.** By no more than chance: parts."]  # fmt: skip
