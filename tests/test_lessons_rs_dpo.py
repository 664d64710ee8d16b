"""What 06 says of its results, for each way that they may come out."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prefnb import methods
from prefnb.evaluate import WinRate
from prefnb.lessons import rs_dpo as lesson


@pytest.fixture
def said(monkeypatch):
    shown = []
    monkeypatch.setattr(lesson.widgets, "say", shown.append)
    monkeypatch.setattr(lesson.widgets, "show_table", lambda *rows: shown.append(rows))
    return shown


def rate(low, high):
    return WinRate(10, (low + high) / 2, (low, high), 0.0, 0.0, 0.0, (0.0, 0.0))


@pytest.mark.parametrize("loss, margin, good_news", [(0.2, 2.0, True), (0.2, 0.1, False), (0.9, 2.0, False)])
def test_curves_look_better_only_if_both_do(said, loss, margin, good_news):
    lesson.say_last_steps({"DPO": (0.5, 0.4), "all": (loss, margin)}, "all")
    assert ("good news" in said[0]) == good_news and f"{loss:.2f} and {margin:.2f}" in said[0]


def test_the_rule_is_told_by_its_interval(said):
    half = np.array([0.0, 1.0] * 100)
    lesson.show_rule({lesson.DATA: half, lesson.OWN: np.ones(200)})
    assert "on the pairs of the data it may be no better than a coin" in said[1] and "100% of the pairs" in said[1]
    lesson.show_rule({lesson.DATA: np.zeros(200), lesson.OWN: half})
    assert "picks the rejected response" in said[3] and "far from all of them" in said[3]


def test_the_papers_claims_are_those_that_the_mixtures_can_speak_of():
    last = {"DPO": (0.5, 0.4), lesson.FULL: (0.2, 2.0)}
    rows = lesson.verdict_rows(last, {lesson.TENTH: rate(0.55, 0.6), lesson.FULL: rate(0.1, 0.2)})
    assert [row[3] for row in rows] == ["holds here"] * 4 + [""] and len(rows) == 5
    rows = lesson.verdict_rows(last | {lesson.FULL: (0.6, 0.1)}, {lesson.FULL: rate(0.6, 0.7)})
    assert [row[3] for row in rows] == ["does not hold here"] * 3 + [""]
    assert len(lesson.verdict_rows(last, {})) == 1


def test_the_title_is_answered_with_and_without_a_judge():
    told = lesson.answer({"RS-DPO, 10%": rate(0.55, 0.65)}, 0.97)
    assert told.startswith("**RS-DPO, 10% beats DPO (0.60).**") and "97%" in told
    assert lesson.answer({}, 0.97).startswith("**Nobody could judge that here.**")


def test_dpo_is_the_recipe_s_and_with_another_loss_trained_anew(monkeypatch):
    """An edited loss compared with DPO of the old one: two differences in place of one."""
    p = SimpleNamespace(beta=0.1, shared_with=lambda settings: {})
    monkeypatch.setattr(lesson.methods.dpo, "recipe", lambda **given: SimpleNamespace(model="ready", history="its"))
    monkeypatch.setattr(lesson.course, "fit", lambda sft, pairs, loss, p: (loss.func.__name__, "anew"))
    assert lesson.baseline(methods.dpo.dpo, None, None, p) == ("ready", "its")

    def mine(policy, reference, *, beta):
        return None

    assert lesson.baseline(mine, None, None, p) == ("mine", "anew")


def test_held_out_margins_stand_beside_those_in_training(said):
    held = {name: {"margin": torch.full((9,), value), "accuracy": torch.ones(9)} for name, value in (("DPO", 0.4), ("all", 0.1))}
    lesson.show_held_out(held, {"DPO": 1.0, "all": 5.0}, {"DPO": (0.5, 0.45), "all": (0.2, 1.9)}, "all")
    assert said[0][2] == ["all", "1.00", "+0.10 [+0.10, +0.10]", "1.90", "5.00"]
    assert "The margin of all is 1.90 on its last batches and +0.10 on held-out pairs" in said[1]
