"""Retrain on release: the slider trains with the value it shows, five attempts stay, and paper has a picture too."""

from functools import partial

import pytest
from conftest import random_model

from prefnb import course, parameters, retrain, widgets
from prefnb.methods.dpo import Settings, dpo


@pytest.fixture
def tried(tokenizer, tmp_path, monkeypatch):
    """Sixteen pairs and a tiny model."""
    for name, value in (("PROMPTS", 20), ("DRAWS", 1)):
        monkeypatch.setattr(retrain, name, value)
    p = parameters.check({"pairs": 16, "max_response_tokens": 12}, Settings, course.Judging)
    examples = course.pair_examples(p, tokenizer)
    loss = lambda value: partial(dpo, beta=value)  # noqa: E731
    return retrain.Retrainer(p, random_model(tokenizer), tokenizer, examples, "beta", loss, "02_dpo")


def test_an_attempt_is_trained_with_its_value_and_five_are_kept(tried):
    """The picture of another value than the slider shows; or a heap of attempts in which none can be seen."""
    for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.3):
        tried.attempt(value)
    assert [one.value for one in tried.attempts] == [0.2, 0.4, 0.5, 0.6, 0.3]
    policy, history = course.fit(tried.start, tried.examples, partial(dpo, beta=0.3), tried.p, epochs=1)
    assert tried.attempts[-1].history.rows == history.rows
    assert len(tried.plot().axes[0].lines) == 5


def test_the_slider_trains_when_it_is_let_go_and_says_how_to_run_the_whole(tried, monkeypatch):
    """A slider that trains at every step of its way, or moves without effect."""
    shown = []
    monkeypatch.setattr(retrain, "display", shown.append)
    monkeypatch.setattr(widgets, "say", shown.append)
    monkeypatch.setattr(widgets, "show_widget", lambda widget, instead: shown.append(instead))
    tried.show(0.01, 1.0, 0.1, 0.01)
    assert len(shown) == 3 and len(shown[0].axes) == 2 and "-p beta 0.1" in shown[1]  # a picture and words without a kernel
    assert tried.slider.continuous_update is False
    before = tried.image.value
    tried.slider.value = 0.5
    assert [one.value for one in tried.attempts] == [0.1, 0.5] and tried.image.value != before
    assert "papermill 02_dpo.ipynb out.ipynb -p beta 0.5" in tried.words.value
