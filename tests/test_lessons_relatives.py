"""What 13 says of its losses and results, by hand and for each way that they may come out."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prefnb.evaluate import WinRate
from prefnb.lessons import relatives as lesson
from prefnb.methods.dpo import dpo
from prefnb.methods.ipo import ipo
from prefnb.methods.robust_dpo import conservative_dpo

FOUR = {"DPO": partial(dpo, beta=1.0), "IPO": partial(ipo, tau=0.5),
        "conservative DPO": partial(conservative_dpo, beta=1.0, flipped=0.2)}  # fmt: skip


@pytest.fixture
def said(monkeypatch):
    shown = []
    monkeypatch.setattr(lesson.widgets, "say", shown.append)
    monkeypatch.setattr(lesson.widgets, "show_table", lambda *rows: shown.append(rows))
    return shown


def test_costs_are_those_worked_out_by_hand():
    """At a margin of 2: -log sigma(2), (2 - 1)^2, and .8 and .2 of DPO's cost and of that of the exchanged pair."""
    found = [float(lesson.costs(loss, torch.tensor([2.0]))[0]) for loss in FOUR.values()]
    assert found == pytest.approx([0.1269, 1.0, 0.5269], abs=1e-3)


def test_where_a_loss_turns(said):
    """IPO at 1, conservative DPO at log(.8 / .2), DPO nowhere."""
    assert lesson.turns(FOUR) == {"DPO": None, "IPO": pytest.approx(1.0, abs=0.02), "conservative DPO": pytest.approx(np.log(4), abs=0.02)}
    lesson.say_turns(FOUR)
    assert "IPO at a margin of 1.00 and conservative DPO at a margin of 1.39" in said[0] and "By DPO a larger margin" in said[0]
    assert lesson.plot_losses(FOUR).axes[0].get_title() == "2 of the 3 want no more than a certain margin"


def outcomes(**means):
    """Outcomes of 40 prompts without spread, for every label with and without wrong labels."""
    labels = ["DPO", "IPO", "conservative DPO", "robust DPO", "KTO"]
    return labels, {label + which: np.full(40, means.get(label.split()[0] + ("_w" if which else ""), 0.6))
                    for label in labels for which in ("", lesson.WRONG)}  # fmt: skip


def test_claims_are_decided_by_their_own_differences():
    labels, found = outcomes(KTO=0.7, KTO_w=0.4, robust_w=0.65, conservative_w=0.55)
    lost, than_dpo = lesson.leads_of(found, labels)
    rows, measured = lesson.claims(found, lost)
    word = {row[0]: row[3] for row in rows}
    assert word["KTO does without pairs what DPO does with them, or better"] == "holds here"
    assert word["robust DPO is better than conservative on wrong labels"] == "holds here"
    assert word["conservative DPO is better than DPO on wrong labels"] == "does not hold here"
    assert word["wrong labels cost DPO more than KTO"] == "does not hold here" and word[lesson.AS_THEY_ARE] == "cannot be told"
    assert measured["wrong labels cost DPO more than KTO"].mean == pytest.approx(-0.3)
    told, wrong = lesson.against_dpo(than_dpo), lesson.against_dpo(than_dpo, lesson.WRONG)
    assert "KTO is better than DPO (+0.10" in told and "IPO cannot be told" in told
    assert "KTO is worse than DPO (-0.20" in wrong and "robust DPO is better" in wrong


@pytest.mark.parametrize("kto, told", [(0.4, "did not save it"), (0.69, "saved it some of that"), (0.6, "cannot be told to have saved it")])
def test_whether_flat_ends_saved_anything_is_told_from_the_losses(said, kto, told):
    labels, found = outcomes(KTO=0.7, KTO_w=kto, DPO_w=0.5)
    found["KTO" + lesson.WRONG] += np.tile([0.1, -0.1], 20)
    rates = {label: WinRate(40, values.mean(), (0.0, 1.0), 0.0, 0.0, 0.0, (0.0, 0.0)) for label, values in found.items()}
    comparison = SimpleNamespace(win_rates=rates, judge=SimpleNamespace(name="gold"))
    lesson.show_costs(comparison, *lesson.leads_of(found, labels), (0.1, 0.35))
    assert "KTO has the highest rate before" in said[1] and told in said[1]


@pytest.mark.parametrize("mean, told", [(0.1, "nearly every pair with the same strength"), (0.9, "near enough")])
def test_ipo_s_distance_from_what_it_wants_is_told(said, mean, told):
    lesson.show_margins({"DPO": np.zeros(9), "IPO": np.full(9, mean)}, 1.0)
    assert told in said[1]


def test_wrong_labels_ask_for_less(said):
    lesson.say_wrong(0.1, 0.34)
    assert f"a margin of {np.log(0.66 / 0.34):.2f}" in said[0] and "34% of the labels" in said[0]


def test_the_flaw_that_comes_back_most_and_who_collapsed(said):
    few, many = np.zeros((10, 1), bool), np.ones((10, 1), bool)
    flaws = {"DPO": {"a": few, "b": few}, "DPO" + lesson.WRONG: {"a": few, "b": many}}
    lesson.say_flaws(flaws, ["DPO"])
    assert "*b*, to DPO: from 0% of its answers to 100%" in said[0]
    check = lambda fell: SimpleNamespace(collapsed=fell, reasons=["it is silent"])  # noqa: E731
    assert lesson.say_collapse({"DPO": check(True), "IPO": check(False)}) == {"DPO": ["it is silent"]}
    assert lesson.say_collapse({"IPO": check(False)}) == {}
    assert said[1:] == ["**DPO has collapsed: it is silent.**", "**No policy has collapsed.**"]
