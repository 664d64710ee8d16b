"""Slow motion shows what training does: its first push is the loss's gradient, its steps are Adam's, and it goes backwards too."""

from functools import partial

import numpy as np
import pytest
import torch
from conftest import random_model

from prefnb import course, parameters, slow_motion
from prefnb.methods.dpo import Settings, dpo


@pytest.fixture
def made(tokenizer):
    p = parameters.check({"pairs": 4, "max_response_tokens": 12}, Settings, course.Judging)
    start, pairs = random_model(tokenizer), course.pair_examples(p, tokenizer)
    return start, pairs, slow_motion.film(start, tokenizer, pairs, partial(dpo, beta=0.1), rate=1e-3, which=1, steps=3)


def test_the_first_push_is_dpo_s_gradient_and_the_pair_is_learnt(made):
    """At step 0 the loss is ln 2 and every token of the chosen response is pushed by beta / 2, of the rejected by as much the
    other way; afterwards the loss falls."""
    _, pairs, film = made
    assert film.losses[0] == pytest.approx(np.log(2), abs=1e-5) and film.losses[-1] < film.losses[0]
    assert np.allclose(film.pushes[0]["chosen"], -0.05, atol=1e-5) and np.allclose(film.pushes[0]["rejected"], 0.05, atol=1e-5)
    assert len(film.losses) == len(film.logps) == 4
    assert [len(film.tokens[side]) for side in pairs.names] == [len(pairs.responses[side][1]) for side in pairs.names]


def test_the_start_is_left_as_it_was(made, tokenizer):
    """A reader's policy that is trained on one pair by looking at it."""
    start, *_ = made
    assert all(torch.equal(a, b) for a, b in zip(start.parameters(), random_model(tokenizer).parameters()))


def test_every_moment_can_be_seen(made):
    """Going back shows what was there: nothing has moved at step 0, and the log-probs are those that were recorded."""
    *_, film = made
    assert "After 0 of 3 steps" in film.view(0) and "+0.0 nats in all" in film.view(0)
    total = film.logps[3]["chosen"].sum() - film.logps[0]["chosen"].sum()
    assert f"{total:+.1f} nats in all" in film.view(3) and "loss" in film.view(2)
