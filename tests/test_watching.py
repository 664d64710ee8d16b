"""Curves on held-out pairs: the same pairs at every check, and a run that is watched is the run that is not."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import random_model

from prefnb import course, models
from prefnb.batches import tokenize
from prefnb.course import watching
from prefnb.logprobs import DatasetLogprobs, RewardScorer
from prefnb.methods.dpo import dpo
from prefnb.methods.reward_model import bradley_terry

P = SimpleNamespace(epochs=2, learning_rate=1e-3, schedule="linear", batch_size=4, accumulation=1, seed=0)
DPO = partial(dpo, beta=0.1)
LIVE = SimpleNamespace(update=lambda history: None, finish=lambda history: None)


def noisy(policy, reference):
    """DPO that draws random numbers, so that a monitor which does, too, changes what comes next."""
    loss, metrics = DPO(policy, reference)
    return loss * torch.rand(len(loss)), metrics


def test_a_run_that_is_watched_is_bit_for_bit_the_run_that_is_not(model, tokenizer, pairs):
    """A monitor that draws a random number, or touches a gradient or the weights."""
    examples, held_out = tokenize(pairs[:8], tokenizer), tokenize(pairs[4:], tokenizer)
    torch.manual_seed(1)
    alone, history = course.fit(model, examples, noisy, P, live=LIVE)
    torch.manual_seed(1)
    also = course.watched(DPO, model, held_out, P, examples)
    seen, watched = course.fit(model, examples, noisy, P, live=LIVE, also=also)
    assert all(torch.equal(a, b) for a, b in zip(alone.state_dict().values(), seen.state_dict().values()))
    assert watched.rows == history.rows and not history.evals
    assert [row["step"] for row in watched.evals] == list(range(5))
    assert alone.training == seen.training


def test_before_training_nothing_has_moved_and_half_of_the_pairs_are_right(model, tokenizer, pairs):
    """An accuracy of 0 where no pair has a preference yet, or one that rounding decides."""
    examples = tokenize(pairs, tokenizer)
    at_start = course.watched(DPO, model, examples, P, examples)["monitor"](models.copy_model(model))
    assert at_start["heldout_accuracy"] == 0.5 and at_start["heldout_loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert abs(at_start["heldout_d_chosen"]) < 1e-4 and abs(at_start["heldout_margin_high"]) < 1e-4


def test_what_is_seen_is_what_the_loss_says_of_these_pairs(model, tokenizer, pairs):
    """Means of batches of unlike size, or pairs of another reference."""
    examples, other = tokenize(pairs, tokenizer), random_model(tokenizer, seed=3)
    reference = course.reference(model, examples)
    found = watching.held_out_monitor(DPO, examples, reference)(other)
    now = DatasetLogprobs.compute(other, examples).all()
    loss, metrics = DPO(now, reference.all())
    change = (now.chosen.sum - reference.all().chosen.sum).numpy()
    assert found["heldout_loss"] == pytest.approx(float(loss.mean()), rel=1e-5)
    assert found["heldout_accuracy"] == pytest.approx(float(metrics["accuracy"].mean()))
    assert found["heldout_d_chosen"] == pytest.approx(change.mean(), rel=1e-4)
    assert found["heldout_d_chosen_low"] < change.mean() < found["heldout_d_chosen_high"]


def test_no_more_than_the_first_pairs_are_looked_at_and_scores_need_no_reference(model, tokenizer, pairs, monkeypatch):
    """Checks that take longer than the training; a reward model that cannot be watched."""
    monkeypatch.setattr(watching, "PAIRS", 3)
    examples = tokenize(pairs, tokenizer)
    few = watching.first(examples, 3)
    assert len(few) == 3 and few.responses["chosen"] == examples.responses["chosen"][:3]
    scored = models.reward_model_from(model, tokenizer, 0)
    also = course.watched(bradley_terry, scored, examples, P, examples, scorer=RewardScorer, epochs=16)
    found = also["monitor"](scored)
    assert also["monitor_every"] == math.ceil(16 * -(-len(examples) // 4) / watching.CHECKS)
    assert found["heldout_loss"] > 0 and "heldout_d_chosen" not in found
