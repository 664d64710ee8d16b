"""What notebook 04 says of its results: every sentence in each of its cases, and the runs that it trains."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from notebook_source import load

from prefnb.evaluate import WinRate
from prefnb.lessons import dppo as lesson
from prefnb.logprobs import from_tokens


def rate(value):
    return WinRate(100, value, (value - 0.1, value + 0.1), value, 0.0, 0.0, (0.0, 0.0))


def test_the_runs_are_the_strengths_with_one_penalty_and_the_others_at_the_reports_best():
    """A strength that is trained twice, a penalty that is forgotten, or alpha 0 taken for a DPPO run of its own."""
    runs = lesson.runs_of(10.0, [0.1, 10.0, 0.0], "unlikelihood")
    assert runs.sweep == {0.0: "DPO", 10.0: "DPPO", 0.1: "DPPO alpha 0.1"}
    assert runs.to_train("unlikelihood") == {
        "DPPO alpha 0.1": (0.1, "unlikelihood"),
        "DPPO minimum likelihood": (10.0, "minimum_likelihood"),
        "DPPO contrastive": (0.1, "contrastive"),
    }
    assert runs.strength["DPPO"] == 10 and runs.strength["DPO"] == 0
    none = lesson.runs_of(0.0, [], "contrastive")
    assert none.sweep == {0.0: "DPO"} and none.strength["DPPO"] == 0 and none.penalties["DPPO"] == "contrastive"


def test_whether_there_is_something_to_unlearn_comes_from_the_table():
    """A verdict that stands there whatever the judge found."""
    chosen = {"rambling": 0.2, "incomplete": 0.1, "gold score": 9.0}
    worse = lesson.deserves_it({"rambling": 0.3, "incomplete": 0.1, "gold score": 8.0}, chosen)
    assert "something to unlearn in it (1 of the 2 flaws" in worse and "much that is right" in worse
    assert "nothing to unlearn" in lesson.deserves_it({"rambling": 0.1, "incomplete": 0.1, "gold score": 9.0}, chosen)
    assert "little that is right" in lesson.deserves_it(chosen | {"gold score": 2.0}, chosen)


def test_the_best_strength_is_told_with_its_lead_and_with_the_fall_at_the_strongest():
    """A sweet spot announced where no penalty was best, or a fall where the strongest won."""
    rates = {0.0: rate(0.6), 0.1: rate(0.7), 10.0: rate(0.1)}
    told = lesson.best_strength(rates, {0.1: "+0.10 [+0.05, +0.15]", 10.0: "-0.50 [-0.60, -0.40]"})
    assert "highest at $\\alpha$ = 0.1" in told and "over DPO: +0.10" in told and "$\\alpha$ = 10, it is 0.10" in told
    assert "that is DPO: no penalty is best" in lesson.best_strength({0.0: rate(0.6), 1.0: rate(0.5)}, {1.0: "-0.10"})
    assert "the strongest of those tried" in lesson.best_strength({0.0: rate(0.4), 1.0: rate(0.5)}, {1.0: "+0.10"})


def test_what_was_unlearnt_is_told_flaw_by_flaw():
    """A change that is chance, called a fall."""
    told = lesson.unlearnt("DPPO", {"rambling": np.full(30, -0.5), "incomplete": np.tile([0.5, -0.5], 15)})
    assert "rambling fell (-0.50" in told and "incomplete did not move by more than chance" in told


def test_two_histories_are_the_same_only_if_every_step_is():
    """A shorter history, or one that differs in its last step, taken for the same."""
    rows = [{"step": 0, "loss": 1.0, "vote": 0.0}, {"step": 1, "loss": 0.5, "vote": 0.0}]
    history = lambda rows, names: SimpleNamespace(rows=rows, names=names)
    dpo = history([{k: v for k, v in row.items() if k != "vote"} for row in rows], ["step", "loss"])
    assert lesson.same(history(rows, ["step", "loss", "vote"]), dpo)
    assert not lesson.same(history(rows[:1], ["step", "loss"]), dpo)
    assert not lesson.same(history([rows[0], rows[1] | {"loss": 0.4}], ["step", "loss"]), dpo)


def test_a_weight_that_acts_on_right_votes_is_named_in_the_title():
    """A title that says the same after the weights were edited."""
    notebook = load("04_dppo", "weight_of")
    assert lesson.plot_weights(notebook.weight_of).axes[0].get_title().endswith("only this acts: expectile")
    none = lesson.plot_weights(lambda r, weight, zeta: torch.relu(-r)).axes[0].get_title()
    assert none.endswith("only this acts: none")


@pytest.mark.parametrize("added, word", [(0.0, "agree"), (0.5, "differ")])
def test_hand_and_function_are_held_against_each_other(added, word, monkeypatch):
    """An edited loss that still "agrees" with what was worked out for the printed one."""
    said = []
    monkeypatch.setattr(lesson.widgets, "say", said.append)
    monkeypatch.setattr(lesson.widgets, "show_table", lambda *rows: said.append(rows))
    by_hand = {("unlikelihood", "token"): 0.75}
    found = {("unlikelihood", "token"): (torch.tensor([1.0]), {"penalty": torch.tensor([0.75 + added])})}
    lesson.show_by_hand(by_hand, found)
    assert said[0][1] == ["unlikelihood, token", "0.7500", f"{0.75 + added:.4f}", "1.0000"] and word in said[1]


def test_votes_of_toy_pairs_stand_in_the_table(monkeypatch):
    """A table whose columns are exchanged."""
    shown = []
    monkeypatch.setattr(lesson.widgets, "show_table", lambda *rows: shown.extend(rows))
    monkeypatch.setattr(lesson, "display", lambda figure: None)
    notebook = load("04_dppo", "vote", "weight_of")
    lesson.show_votes(from_tokens(chosen=[[-1.0, -2.0]], rejected=[[-0.5, -0.5]]), notebook.vote, notebook.weight_of)
    assert shown[1] == [1, "-3.00", "-1.00", "-0.76", "0.76", "0.58", "0.87", "0.29", "0.52"]
