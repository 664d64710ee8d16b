"""One page of results: what it measures is what is so, and it is drawn with and without a judge, pairs or a curve."""

import numpy as np
import pytest
from conftest import random_model

from prefnb import course, own_data, page, parameters, widgets
from prefnb.course import Comparison
from prefnb.judges import GoldJudge, score_samples
from prefnb.methods.dpo import Settings
from prefnb.sampling import Sample
from prefnb.training import History

PROMPTS = [[{"role": "user", "content": f"What is {n} plus two?"}] for n in range(6)]


@pytest.fixture
def p():
    return parameters.check({"max_response_tokens": 16}, Settings, course.Judging)


def comparison_of(tokenizer, judge=None):
    """Two answers a prompt by "SFT", which says nothing, and by "DPO", which answers."""
    said = {"SFT": ["Well."] * 12, "DPO": [f"It is {n + 2}." for n in range(6) for _ in range(2)]}
    answers = {name: [Sample(tokenizer(text)["input_ids"], text, True) for text in texts] for name, texts in said.items()}
    scores = {name: score_samples(judge, PROMPTS, drawn) for name, drawn in answers.items()} if judge else {}
    return Comparison(PROMPTS, [""] * 6, [""] * 6, answers, scores, "SFT", judge, judge)


def history_of(*names):
    return History([{"step": n + 1, "loss": 0.7 - n / 100, **{name: n / 10 for name in names}} for n in range(20)])


def test_a_policy_that_has_not_moved_has_moved_by_nothing(tokenizer, p):
    """Before training: no token's log-prob has changed, and pairs are half right, since margins of 0 count half."""
    policy, start = random_model(tokenizer), random_model(tokenizer)
    pairs = course.pair_examples(p, tokenizer, "test", limit=page.PAIRS)
    found = page.changes(policy, start, pairs)
    assert list(map(len, found["chosen"])) == list(map(len, pairs.responses["chosen"])) and len(pairs) > 100
    assert max(abs(one).max() for side in found.values() for one in side) < 1e-3
    zero = page.Moved(np.zeros(4), np.zeros(4), {})
    assert zero.accuracy == 0.5


def test_accuracy_and_margins_by_hand():
    """d of 1, -1, 2 and 0 against 0, 0, 1 and 0: two right, one wrong, one level."""
    found = page.Moved(np.array([1.0, -1.0, 2.0, 0.0]), np.array([0.0, 0.0, 1.0, 0.0]), {})
    assert found.margins.tolist() == [1, -1, 1, 0] and found.accuracy == 2.5 / 4


@pytest.mark.parametrize("curves", [(), ("kl_k3",), ("reward", "kl_k3")])
@pytest.mark.parametrize("judged", [True, False])
def test_it_is_drawn_and_told_whatever_there_is(tokenizer, p, monkeypatch, judged, curves):
    """An error where a method has no KL curve, or data have no judge; a win that is not told."""
    shown, told = [], []
    monkeypatch.setattr(page, "display", shown.append)
    monkeypatch.setattr(widgets, "say", told.append)
    monkeypatch.setattr(own_data, "show", lambda margins, rows, lengths, *given, **more: told.append(len(margins) == len(rows)))
    monkeypatch.setattr(widgets, "show_answers", lambda comparison, labels: told.append(labels))
    policy, start = random_model(tokenizer, seed=1), random_model(tokenizer)
    given = dict(history=history_of(*curves), comparison=comparison_of(tokenizer, GoldJudge() if judged else None))
    page.show("DPO", policy, start, tokenizer, p, **given)
    shown[0].canvas.draw()
    titles = [axis.get_title(loc="left") or axis.get_title() for axis in shown[0].axes]
    assert "nats in all" in shown[1].data
    assert titles[0].startswith("reward 0.1" if "reward" in curves else "loss 0.6")
    assert titles[1].endswith("of pairs right") and all(titles[i] for i in range(8) if shown[0].axes[i].axison)
    assert shown[0].get_suptitle().startswith("DPO wins" if judged else "DPO is")
    assert told[1:] == ([] if judged else [True]) + [("SFT", "DPO")] and ("beats SFT" in told[0]) == judged


@pytest.mark.parametrize("margins, longer, says", [
    (np.ones(400), np.tile([1.0, -1.0], 200), ['better than guessing', 'better than the rule', "400 held-out pairs"]),
    (np.tile([1.0, -1.0], 200), np.tile([1.0, -1.0], 200), ["not to be told from guessing", "may have learnt length"]),
    (np.tile([1.0, 1.0, 1.0, -1.0], 100), -np.tile([1.0, 1.0, 1.0, -1.0], 100), ["not to be told from the rule", '"the shorter one wins" (0.75)']),
    (np.ones(7), np.ones(7), ["7 held-out pairs", "The interval is wide"]),
])  # fmt: skip
def test_own_pairs_are_held_against_guessing_and_against_length(margins, longer, says):
    """By hand: all right, half right, right exactly where the shorter one wins, and too few to tell."""
    said = own_data.learnt(margins, longer)
    assert [one for one in says if one not in said] == []


def test_the_pairs_that_are_most_wrong_are_shown_and_their_text_is_no_markup(tokenizer, monkeypatch):
    """A pair that is right among the worst; or a data set's HTML in a reader's notebook."""
    shown = []
    monkeypatch.setattr(widgets, "display", lambda one: shown.append(one.data))
    rows = [{"prompt": [{"role": "user", "content": f"ask {n}"}], "chosen": "<b>yes</b>", "rejected": "no"} for n in range(5)]
    lengths = {"chosen": np.arange(5.0), "rejected": np.ones(5)}
    own_data.show(np.array([1.0, -9.0, 2.0, 0.5, -3.0]), rows, lengths, tokenizer, pocket_model=True)
    table = shown[-1]
    assert "<b>" not in "".join(shown) and table.count("| -9.0 |") == 1 and "ask&#32;2" not in table and "ask 2" not in table
    assert any("Qwen2.5-0.5B" in one for one in shown)
