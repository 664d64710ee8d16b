"""Your turn: what is no loss gets one sentence, what is one is trained and measured, and no attempt is ever lost."""

import json
from functools import partial

import pytest
import torch
from conftest import random_model
from torch.nn.functional import logsigmoid

from prefnb import course, parameters, plots, widgets
from prefnb.methods.dpo import Settings, dpo
from prefnb.your_turn import attempts as rooms
from prefnb.your_turn import kinds


def hinge(policy, reference):
    return torch.relu(1 - (policy.chosen.sum - reference.chosen.sum - policy.rejected.sum + reference.rejected.sum))


@pytest.fixture
def attempts(tokenizer, tmp_path, monkeypatch):
    """A notebook's turn on sixteen pairs and a tiny model."""
    for name, value in (("HELD_OUT", 8), ("PROMPTS", 20), ("DRAWS", 1)):
        monkeypatch.setattr(rooms, name, value)
    p = parameters.check({"pairs": 16, "max_response_tokens": 12, "output_dir": str(tmp_path)}, Settings, course.Judging)
    examples = course.pair_examples(p, tokenizer)
    return kinds.OnPairs(p, random_model(tokenizer), tokenizer, "DPO", partial(dpo, beta=p.beta), tmp_path / "attempts", examples)


@pytest.fixture
def shown(monkeypatch):
    found = []
    monkeypatch.setattr(rooms, "display", found.append)
    monkeypatch.setattr(widgets, "show_table", lambda *rows: found.append(rows))
    return found


WRONG = {
    "a signature": (lambda policy: policy.chosen.sum, "called as loss(policy, reference): TypeError"),
    "a name that is not there": (lambda policy, reference: policy.chosen.total, "AttributeError"),
    "a number": (lambda policy, reference: 0.5, "must return a tensor, or (tensor, metrics), and not float"),
    "a mean": (lambda policy, reference: hinge(policy, reference).mean(), "one number a pair, of shape (4,), and gave ()"),
    "a token each": (lambda policy, reference: policy.chosen.token, "mean or sum nothing over pairs"),
    "the log of a log-prob": (lambda policy, reference: policy.chosen.sum.log(), "not finite"),
    "a detached margin": (lambda policy, reference: hinge(policy, reference).detach(), "no gradient"),
    "a count": (lambda policy, reference: (policy.chosen.sum > policy.rejected.sum).float(), "no gradient"),
    "the reference's log-probs alone": (lambda policy, reference: -logsigmoid(reference.chosen.sum), "no gradient"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_loss_is_one_sentence_before_any_training(attempts, shown, capsys, monkeypatch, name):
    """Forty lines of traceback for a beginner's first loss, or a minute of training on nothing."""
    loss, says = WRONG[name]
    monkeypatch.setattr(course, "fit", lambda *given, **more: pytest.fail("trained"))
    attempts.try_it(loss, name)
    said = capsys.readouterr().out.strip()
    assert says in said and said.count("\n") == 0 and shown == [] and not attempts.folder.exists()


def test_an_attempt_is_trained_measured_shown_and_kept(attempts, shown):
    """A row in the table beside the notebook's own loss, and both curves in one picture."""
    attempts.try_it(hinge, "hinge")
    figure, table = shown
    assert {line.get_label() for axis in figure.axes for line in axis.lines} >= {"DPO", "hinge"}
    assert [row[0] for row in table][1:] == [widgets.escaped("DPO (this notebook's)"), widgets.escaped("hinge")]
    (row,) = attempts.rows()
    assert row["name"] == "hinge" and 0 <= row["accuracy"] <= 1 and len(row["interval"]) == 2
    found = attempts.measured(*attempts.trained(hinge))
    assert found == {name: row[name] for name in found}


def test_attempts_survive_a_restart_a_taken_name_and_a_damaged_line(attempts, shown, capsys):
    """Anything that a reader tried, lost: to a new kernel, to the same name typed twice, to half a line after a crash."""
    attempts.try_it(hinge, "mine")
    attempts.try_it(lambda policy, reference: 2 * hinge(policy, reference), "mine")
    with open(attempts.folder / "attempts.jsonl", "a") as file:
        file.write('{"name": "ha')
    again = kinds.OnPairs(*(getattr(attempts, name) for name in ("p", "start", "tokenizer", "label", "loss", "folder", "examples")))
    assert [row["name"] for row in again.rows()] == ["mine", "mine 2"]
    assert "damaged" in capsys.readouterr().out
    again.try_it(hinge, "after the crash")
    assert [row["name"] for row in again.rows()] == ["mine", "mine 2", "after the crash"]
    histories = sorted(path.name for path in attempts.folder.glob("history_*"))
    assert histories == ["history_after_the_crash.json", "history_mine.json", "history_mine_2.json"]
    assert json.loads((attempts.folder / "attempts.jsonl").read_text().splitlines()[0])["name"] == "mine"


def test_the_notebook_s_own_loss_written_again_gives_its_own_numbers(attempts, shown, monkeypatch):
    """The check of the whole machinery: DPO, typed anew, is DPO."""
    monkeypatch.setattr(plots, "plot_training", lambda *given: None)
    attempts.try_it(lambda policy, reference: dpo(policy, reference, beta=attempts.p.beta), "again")
    usual, mine = shown[-1][1:]
    assert usual[1:] == mine[1:]
