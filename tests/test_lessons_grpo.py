"""What 10 shows: exact slopes of KL estimators, groups, and each branch of its sentences, by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prefnb import widgets
from prefnb.evaluate import WinRate
from prefnb.judges import Scores
from prefnb.lessons import grpo as lesson
from prefnb.methods import grpo, rloo


@pytest.fixture
def said(monkeypatch):
    """The sentences and tables that a function puts on the page."""
    found = []
    monkeypatch.setattr(widgets, "say", found.append)
    monkeypatch.setattr(widgets, "show_table", lambda *rows: found.append(rows))
    return found


def history(**curves):
    """A history of given curves."""
    of = {name: (np.arange(len(values)), np.array(values, dtype=float)) for name, values in curves.items()}
    return type("H", (dict,), {"rows": list(next(iter(curves.values()))), "names": list(curves)})(of)


def three_words(pi=(0.5, 0.3, 0.2), ref=(0.2, 0.3, 0.5)):
    """The notebook's five rows."""
    logits = torch.tensor(pi).log().requires_grad_()
    logp, ref = logits.log_softmax(0), torch.tensor(ref).log()
    pi, r = logp.exp().detach(), ref - logp
    k1, k3 = (pi * -r).sum(), (pi * (torch.expm1(r) - r)).sum()
    kl, other, cost = (logp.exp() * -r).sum(), (ref.exp() * r).sum(), (pi * (-r).detach() * logp).sum()
    return logits, {"kl": (kl, kl), "k1": (k1, k1), "k3": (k3, k3), "cost": (k1, cost), "other": (other, other)}


def test_the_estimators_agree_as_numbers_and_not_as_losses(said):
    """The exact values: KL = .5 ln 2.5 + .2 ln .4; the other KL's slope is pi - ref."""
    rows = lesson.show_slopes(*three_words())
    kl = 0.5 * math.log(2.5) + 0.2 * math.log(0.4)
    slope = [pi * (math.log(pi / ref) - kl) for pi, ref in ((0.5, 0.2), (0.3, 0.3), (0.2, 0.5))]
    assert rows["kl"] == pytest.approx([kl, *slope], abs=1e-5)
    assert rows["k1"] == pytest.approx([kl, 0, 0, 0], abs=1e-5)
    assert rows["k3"] == pytest.approx([kl, 0.3, 0, -0.3], abs=1e-5) and rows["k3"][1:] == rows["other"][1:]
    assert rows["cost"] == pytest.approx(rows["kl"], abs=1e-5)
    told = lesson.kl_in_words(rows)
    assert "both average to the KL, 0.275 nats" in told and "its slope averages to 0" in told
    assert "the slope of the *other* KL (on word 3 -0.300, where the KL has -0.238)" in told
    assert told.endswith("only k1 taken as a cost has the slope of the KL.**")


def test_the_words_on_the_kl_follow_the_numbers():
    """Rows of which nothing is true."""
    wrong = {"kl": [1, 1, 1], "k1": [2, 2, 2], "k3": [3, 3, 3], "cost": [4, 4, 4], "other": [5, 5, 5]}
    told = lesson.kl_in_words(wrong)
    assert "The averages differ" in told and "something else" in told and "a slope of its own" in told and "not the slope" in told


def test_two_baselines_are_said_to_be_one_direction_only_if_they_are(said):
    rewards = torch.tensor([[1.0, 4.0, 4.0, 7.0]])
    lesson.show_advantages(rewards, {"one": rloo.leave_one_out(rewards), "two": rewards - rewards.mean()})
    assert "1.33 times" in said[1]
    lesson.show_advantages(rewards, {"one": rewards, "two": rewards - rewards.mean()})
    assert "different directions" in said[3]


def test_the_clip_s_titles_come_from_the_loss():
    """With the clip a level stretch; a reader who takes it out of the loss is told that it is gone."""
    figure, _ = lesson.clip_figure(grpo.grpo, 0.2)
    assert [axis.get_title() for axis in figure.axes] == ["a good sample, A = +1: level above 1.2", "a bad sample, A = -1: level below 0.8"]
    free = lambda policy, *, advantage, old, clip: (-(policy.sample.token[:, 0] - old[:, 0]).exp() * advantage, {})  # noqa: E731
    figure, told = lesson.clip_figure(free, 0.2)
    assert figure.axes[0].get_title().endswith("never level") and "nowhere level" in told


def test_three_prompts_count_alike_under_their_own_deviation(said):
    lesson.show_three(grpo.group_relative)
    assert said[0][3][1:] == ["weight 0.08, 3% of all", "weight 2.00, 93% of all", "weight 0.07, 3% of all"]
    assert "differ by 0.2 counts for 33% of all, one whose rewards differ by 6 for 34%; undivided, the latter counts for 93%" in said[1]


def test_dead_groups_are_counted_by_size(said):
    rewards = torch.tensor([[1.0, 1.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
    coarse = lesson.all_or_nothing(Scores(np.zeros((2, 4))), rewards)
    dead = lesson.show_dead("gold", rewards, coarse)
    assert dead["the gold reward"] == [0.5, 0.0] and list(dead)[1] == "1 if above the median of all"
    assert said[1].startswith("**Of groups of 4 are dead: 0% by *the gold reward*")
    figure = lesson.groups_figure(grpo.group_relative, rewards, coarse)
    assert "undivided, the widest weigh" in figure.axes[0].get_title() and "are dead" in figure.axes[1].get_title()


def test_with_parts_all_or_nothing_is_about_what_is_right():
    judged = Scores(np.zeros((1, 2)), {"helpfulness": np.array([[0.5, 1.0]])})
    assert [ones.tolist() for ones in lesson.all_or_nothing(judged, torch.zeros(1, 2)).values()] == [[[True, True]], [[False, True]]]


def test_the_edges_are_finite_and_equal_rewards_move_nothing(said):
    lesson.show_edges(grpo.group_relative, grpo.grpo)
    assert said[0][1][1:] == ["+0.000, +0.000, +0.000", "+0.000", "0.000"]
    assert said[1] == "**Every number is finite; a group of equal rewards moves nothing.**"
    lesson.show_edges(lambda rewards: (rewards - rewards.mean()) / rewards.std(), grpo.grpo)  # forgets eps and the dead
    assert "Some number is not finite" in said[3]


def test_the_smoothest_comes_first_and_few_steps_are_not_judged():
    rough = {"DPO": {"margin": 0.7}, "printed": {"reward": 0.2}, "cited": {"reward": 0.3}}
    curves = {"printed": history(reward=[1, 2, 1, 3]), "cited": history(reward=[1, 2, 1, 3])}
    told = lesson.smoothest(rough, curves, 1)
    assert "printed (0.20) < cited (0.30) < DPO (0.70)" in told and "most of what shakes them" in told
    assert "Of fewer than 6 steps" in lesson.smoothest({**rough, "DPO": {"margin": math.nan}}, curves, 1)


def test_the_updates_are_told_by_the_first_and_the_last():
    held, ratios = np.array([[0.0, 0.04], [0.0, 0.06]]), np.array([0.5, 1.0, 1.0, 1.5])
    told = lesson.updates_in_words(held, ratios, 0.2)
    assert "held 0.0% of the tokens at the first update and 5.0% at the last" in told and "50.0% have a ratio outside 1 ± 0.2" in told
    assert lesson.updates_figure(held, ratios, 0.2).axes[0].get_title() == "the clip holds 0.0%, at last 5.0%"


def test_the_kl_is_read_at_first_updates_only():
    found = {"live": (history(kl_k3=[1, 2, 3]), 1), "3 updates": (history(kl_k3=[4, 9, 9, 5, 9, 9]), 3)}
    assert lesson.kl_when_drawn(found) == "KL from SFT when batch 2 was drawn: live 2.00, 3 updates 5.00 nats."


@pytest.mark.parametrize("values, word", [(np.ones(9), "it is not 0"), (np.array([1.0, -1.0] * 9), "its interval holds 0")])
def test_a_mean_is_0_if_its_interval_says_so(values, word):
    assert lesson.is_zero(values).endswith(word)


@pytest.mark.parametrize("updates, word", [(1, "every ratio is 1"), (3, "cited form.")])
def test_the_clip_has_nothing_to_do_with_one_update(said, updates, word):
    made = {name: history(reward=[1.0] * 20, clipped=[0.0] * 20) for name in ("printed", "cited")}
    lesson.show_two_forms(made, 1.3, updates)
    assert word in said[1] and "1.00 to 1.00 (printed)" in said[1]


def test_each_step_of_the_paper_s_table_has_its_verdicts():
    """BLEU-4 falls from DPO to GRPO in the paper; perplexity rises from base to SFT."""
    rate = WinRate(10, 0.8, (0.7, 0.9), 0.0, 0.0, 0.0, (0.0, 0.0))
    compared = SimpleNamespace(judge="gold", win_rate=lambda better, worse: rate)
    bleu4, perplexity = {"DPO": 40.0, "GRPO, cited": 45.0}, {"DPO": 1.8, "GRPO, cited": 1.7}
    logp = {"DPO": np.zeros(9), "GRPO, cited": np.ones(9)}
    row = lesson.step_up(compared, "DPO", "GRPO, cited", bleu4, perplexity, logp)
    assert row[1].endswith(": holds here") and row[2] == "-0.3; +5.0: the other direction" and row[3] == "-0.5; -0.10: holds here"
    nothing = lesson.step_up(SimpleNamespace(judge=None), "DPO", "GRPO, cited", dict.fromkeys(bleu4, math.nan), perplexity, logp)
    assert nothing[1] == "no judge" and nothing[2] == "-0.3; no references"


def test_a_few_live_steps_are_not_judged():
    """With a KL and without."""
    told = lesson.live_in_words(history(reward=[7.0, 8.0], clipped=[0.0, 0.02], kl_k3=[0.0, 0.04]))
    assert told.startswith("**2 steps with a mean reward of 7.50: the KL from SFT has come to 0.04 nats, the clip held 1.0%")
    assert "KL" not in lesson.live_in_words(history(reward=[7.0], clipped=[0.0]))


@pytest.mark.parametrize("known", [True, False])
def test_the_table_beside_the_paper_s_names_the_best(said, known):
    """Without a judge and references only perplexity is left."""
    rate = WinRate(10, 0.8, (0.7, 0.9), 0.0, 0.0, 0.0, (0.0, 0.0))
    compared = SimpleNamespace(judge="gold" if known else None, win_rates={"DPO": rate} if known else {})
    bleu4 = {"SFT": 40.0, "DPO": 39.0} if known else dict.fromkeys(("SFT", "DPO"), math.nan)
    lesson.show_table_1(compared, bleu4, {"SFT": 1.8, "DPO": 1.9})
    assert said[0][1][2] == ("0.5 by definition" if known else "no judge")
    assert said[1] == ("**Here DPO has the highest win rate, SFT has the highest BLEU-4 and SFT has the lowest perplexity; in the paper "
                       "they are GRPO, DPO and GRPO.**" if known else
                       "**Here SFT has the lowest perplexity; in the paper they are GRPO, DPO and GRPO.**")  # fmt: skip
