"""The base model's training: fresh text from the seed alone, and a run that goes on where it was interrupted."""

import pytest
import torch

from prefnb import models
from prefnb.pocket import build, pretrain, tasks


@pytest.fixture
def tokenizer():
    return models.load_tokenizer("pocket")


@pytest.fixture
def short(monkeypatch):
    """A training of six steps that could be anyone's, with a checkpoint after every second."""
    sizes = dict(STEPS=4, LAST_STEPS=2, BATCH=2, BLOCK=32, CHECKPOINT_EVERY=2)
    for name, value in sizes.items():
        monkeypatch.setattr(pretrain, name, value)


def trained(tokenizer, checkpoint, stop_after=None):
    """The weights after a training, or None if it was stopped right before the checkpoint after `stop_after` steps."""
    torch.manual_seed(0)
    model = pretrain.new_model(len(tokenizer))

    def say(line, flush):
        if f"step {stop_after:6}" in line:
            raise KeyboardInterrupt

    try:
        pretrain.pretrain(model, tokenizer, 1, checkpoint, say if stop_after else lambda line, flush: None)
    except KeyboardInterrupt:
        return None
    return model.state_dict()


def test_an_interrupted_training_ends_with_the_same_weights(tokenizer, short, tmp_path):
    """Guards against a resumed run that sees other text, another learning rate or fresh Adam moments."""
    whole = trained(tokenizer, tmp_path / "whole.pt")
    assert trained(tokenizer, tmp_path / "cut.pt", stop_after=4) is None
    resumed = trained(tokenizer, tmp_path / "cut.pt")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_step_has_its_own_text(tokenizer):
    """Guards against text that repeats, or that depends on which worker writes it."""
    text, again = pretrain.FreshText(tokenizer, 1), pretrain.FreshText(tokenizer, 1)
    assert torch.equal(text[7], again[7]) and text[7].shape == (pretrain.BATCH, pretrain.BLOCK)
    assert not torch.equal(text[7], text[8])
    assert not torch.equal(text[7], pretrain.FreshText(tokenizer, 2)[7])


def test_rare_facts_are_rare_in_raw_text():
    """Guards against a base model that knows what it should not: rare things are asked about often, and told of seldom."""
    rng = build.rng_for("test of rare facts")
    found = [tasks.parse(build.raw_passage(rng).split("\n")[0].removeprefix("Question: ")) for _ in range(6000)]
    asked = [combination for name, combination in filter(None, found) if name == "general_knowledge"]
    category = tasks.CATEGORIES["general_knowledge"]
    assert len(asked) > 200 and sum(map(category.is_hard, asked)) / len(asked) < 0.03
    assert 0.2 < sum(category.is_hard(category.draw(rng)) for _ in range(2000)) / 2000 < 0.3


def test_the_learning_rate_warms_up_and_comes_down():
    """Guards against a first step that does next to nothing, and a second stage that begins as the first one did."""
    assert pretrain.learning_rate(0) == pytest.approx(pretrain.LEARNING_RATE / pretrain.WARM_UP)
    assert pretrain.learning_rate(pretrain.WARM_UP) == pytest.approx(pretrain.LEARNING_RATE, rel=0.01)
    assert pretrain.learning_rate(pretrain.STEPS - 1) < 0.03 * pretrain.LEARNING_RATE
    assert pretrain.learning_rate(pretrain.STEPS + pretrain.LAST_STEPS // 2) < pretrain.LAST_LEARNING_RATE
