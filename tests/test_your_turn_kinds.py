"""Attempts on demonstrations, on scores and on one's own samples: the notebook's own loss, written again, gives its own
numbers, and what is no loss gets one sentence."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from conftest import random_model

from prefnb import course, judges, models, parameters, widgets
from prefnb.batches import Examples
from prefnb.course import Judging
from prefnb.methods import reward_model, rloo, sft
from prefnb.your_turn import attempts as rooms
from prefnb.your_turn import kinds


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for place, name, value in ((rooms, "HELD_OUT", 8), (rooms, "PROMPTS", 20), (rooms, "DRAWS", 1), (kinds, "STEPS", 4)):
        monkeypatch.setattr(place, name, value)


@pytest.fixture
def shown(monkeypatch):
    found = []
    monkeypatch.setattr(rooms, "display", lambda figure: None)
    monkeypatch.setattr(widgets, "show_table", lambda *rows: found.append(rows))
    return found


def settings(cls, **given):
    return parameters.check({"max_response_tokens": 12, "batch_size": 4, **given}, cls, Judging)


def demonstrations(tokenizer, folder):
    p = settings(sft.Settings)
    examples = Examples([[1, 2, 3]] * 8, {"response": [[4 + n, 5, 6 + n] for n in range(8)]}, list(range(8)))
    given = (p, random_model(tokenizer), tokenizer, "SFT", sft.sft, folder, examples, examples)
    return kinds.OnDemonstrations(*given), lambda policy, reference: -policy.response.sum


def scores(tokenizer, folder):
    p = settings(reward_model.Settings, pairs=8)
    start = models.reward_model_from(random_model(tokenizer), tokenizer, 0)
    examples = course.pair_examples(p, tokenizer)
    given = (p, start, tokenizer, "Bradley-Terry", reward_model.bradley_terry, folder, examples, examples)
    return kinds.OnScores(*given), lambda policy, _: -torch.nn.functional.logsigmoid(policy.chosen - policy.rejected)


def samples(tokenizer, folder):
    p = settings(rloo.Settings, prompts=8, samples=2, accumulation=1)
    loss = partial(rloo.reinforce, kl_weight=0.0)
    given = (p, random_model(tokenizer), tokenizer, "RLOO", loss, folder, judges.GoldJudge(), rloo.leave_one_out)
    return kinds.OnSamples(*given), lambda policy, reference, *, advantage: -advantage * policy.sample.sum


@pytest.mark.filterwarnings("ignore:None of the")  # random weights never end
@pytest.mark.parametrize("kind", [demonstrations, scores, samples])
def test_the_notebook_s_own_loss_written_again_gives_its_own_numbers(kind, tokenizer, tmp_path, shown):
    """The check of the whole machinery: another start, other data or another average would give other numbers."""
    tried, again = kind(tokenizer, tmp_path / "attempts")
    tried.try_it(again, "again")
    head, usual, mine = shown[-1]
    assert usual[1:] == mine[1:] and len(head) == len(mine)
    assert [row["name"] for row in tried.rows()] == ["again"]


@pytest.mark.parametrize("kind", [demonstrations, scores, samples])
def test_what_is_no_loss_is_one_sentence_before_any_training(kind, tokenizer, tmp_path, shown, capsys, monkeypatch):
    """A traceback, or seconds of training on nothing."""
    tried, _ = kind(tokenizer, tmp_path / "attempts")
    capsys.readouterr()
    monkeypatch.setattr(type(tried), "trained", lambda *given: pytest.fail("trained"))
    for wrong in (lambda policy: 0, lambda *given, **more: torch.ones(4), lambda *given, **more: torch.tensor(1.0)):
        tried.try_it(wrong, "wrong")
        said = capsys.readouterr().out.strip()
        assert said.startswith("The loss ") and said.count("\n") == 0
    assert not shown and not (tmp_path / "attempts").exists()


def test_the_few_that_a_loss_is_checked_with_want_gradients(tokenizer, tmp_path):
    """A right loss refused for want of a gradient."""
    for kind in (demonstrations, scores, samples):
        tried, right = kind(tokenizer, tmp_path)
        (policy, reference), more = tried.few()
        assert isinstance(policy, SimpleNamespace) and right(policy, reference, **more).requires_grad
