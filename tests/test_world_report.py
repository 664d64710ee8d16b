"""The world report: figures with their ranges, and a picture from any answers."""

from types import SimpleNamespace

import numpy as np
import pytest

from prefnb import data, pocket, world_report
from prefnb.judges import Scores
from prefnb.pocket import tasks


@pytest.fixture(scope="module")
def rows():
    return data.Source("pocket").prompts("test")


def answers(rows, gold, flaws=0.3):
    """Answers of which only the scores are looked at; `gold` is (prompts, draws) or one number for all."""
    total = np.broadcast_to(np.asarray(gold, dtype=float), (len(rows), 4))
    scores = Scores(total, {"helpfulness": np.full_like(total, 0.5)})
    shares = dict.fromkeys(pocket.FLAWS, flaws)
    return SimpleNamespace(scores=scores, gold=total, helpfulness=scores.parts["helpfulness"], flaws=shares)


def test_a_figure_passes_in_its_range_only():
    assert world_report.Figure("a", 0.2, 0.2, 0.6).passed and not world_report.Figure("a", 0.61, 0.2, 0.6).passed
    assert str(world_report.Figure("a", 7.0, 5)).startswith("PASS") and "[5, ]" in str(world_report.Figure("a", 7.0, 5))


def test_a_first_choice_without_flaws_fails(rows):
    """Guards against a world whose fine-tuned model has nothing to correct: the report must say so."""
    clean, warm = answers(rows, 9.5, flaws=0.05), answers(rows, 9.0)
    failed = [
        figure for figure in world_report.first_choice_figures(clean, warm, answers(rows, 8), 9.6) if not figure.passed
    ]
    assert len(failed) == 5  # three flaws too rare, greedy too good, best of 16 hardly better


def test_a_default_run_that_decides_nothing_fails(rows):
    """Guards against power that is claimed and not there: a shift within its own noise."""
    rng = np.random.default_rng(0)
    sft = answers(rows, 8 + rng.normal(0, 1, (len(rows), 4)))
    power = lambda shift: next(  # noqa: E731
        figure
        for figure in world_report.comparison_figures(answers(rows, 2), sft, answers(rows, sft.gold + shift))
        if "half-widths" in figure.name
    )
    noise = rng.normal(0, 1, (len(rows), 1))
    assert not power(0.05 + noise).passed and power(1 + noise).passed


def test_the_probe_demonstrates_nothing_hard_and_nothing_of_the_test():
    for row in world_report.careful_demonstrations(300):
        category, combination = tasks.parse(row["prompt"][-1]["content"])
        assert not tasks.CATEGORIES[category].is_hard(combination) and not tasks.is_test(category, combination)
        assert pocket.score(row["prompt"][-1]["content"], row["response"]).total > 9.3


def test_the_picture_shows_every_category_and_names_what_it_shows(rows):
    figure = world_report.picture(answers(rows, 3), answers(rows, 8), answers(rows, 8.5), rows)
    (axis,) = figure.axes
    assert [label.get_text().replace(" ", "_") for label in axis.get_yticklabels()] == list(pocket.CATEGORIES)
    assert "better in 10 of 10" in axis.get_title()
