"""One page of results: what it measures is what is so, and it is drawn with and without a judge, pairs or a curve."""

import numpy as np
import pytest
from conftest import random_model

from prefnb import course, page, parameters, widgets
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
    """Before training: no log-prob has changed, the KL is 0, and pairs are half right, since margins of 0 count half."""
    policy, start = random_model(tokenizer), random_model(tokenizer)
    found = page.moved(policy, start, tokenizer, p, PROMPTS)
    assert len(found.chosen) > 100 and abs(found.chosen).max() < 1e-3 and abs(found.kl["k3"]) < 1e-6
    zero = page.Moved(np.zeros(4), np.zeros(4), found.kl)
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
    monkeypatch.setattr(widgets, "show_answers", lambda comparison, labels: told.append(labels))
    policy, start = random_model(tokenizer, seed=1), random_model(tokenizer)
    given = dict(history=history_of(*curves), comparison=comparison_of(tokenizer, GoldJudge() if judged else None))
    page.show("DPO", policy, start, tokenizer, p, **given)
    shown[0].canvas.draw()
    titles = [axis.get_title(loc="left") or axis.get_title() for axis in shown[0].axes]
    assert titles[0] == ("reward" if "reward" in curves else "loss") + ", training"
    assert told[1] == ("SFT", "DPO") and ("beats SFT" in told[0]) == judged
