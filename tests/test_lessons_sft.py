"""What notebook 01 says of its figures: every sentence in each of its branches, and its tables by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from prefnb.judges import Scores
from prefnb.lessons import sft as lesson
from prefnb.training import History

JUDGE = SimpleNamespace(name="gold")


def history(losses, held_out, **rates):
    """A run with checks at its beginning and its end."""
    run = History()
    run.rows = [{"step": i, "loss": loss} for i, loss in enumerate(losses)]
    run.evals = [{"step": i * (len(losses) - 1), "heldout_loss": loss, **{f"win_rate_{name}": found[i] for name, found in rates.items()}}
                 for i, loss in enumerate(held_out)]  # fmt: skip
    return run


def drawn(*finished):
    return [SimpleNamespace(text="yes", finished=one, ids=[1, 2]) for one in finished]


def test_the_base_is_judged_by_what_a_judge_knows():
    """A traceback, or a share of right things, from a judge without helpfulness."""
    scores = Scores(np.ones(2), {"helpfulness": np.array([0.0, 0.5])})
    assert "50% never end, and of what was asked for 25% is right.**" in lesson.base_in_words(drawn(True, False), scores)
    for other in (None, Scores(np.ones(2))):
        assert lesson.base_in_words(drawn(True, False), other).startswith("**Of the base's answers 50% never end.**")
        assert "Read" in lesson.right_in_words(scores, other)


def test_cuts_are_percentiles_and_no_more_than_the_model_takes():
    """A cut beyond what the settings allow, or one side's percentile for the other."""
    p = SimpleNamespace(percentile=50, max_prompt_tokens=100, max_response_tokens=4)
    assert lesson.cuts({"prompt": [1, 2, 3], "response": [7, 8, 9]}, p) == {"prompt": 2, "response": 4}
    rows = lesson.lengths_table({"prompt": [1, 1, 1], "response": [5, 5, 5]})
    assert rows[1] == ["50th", "1", "5", 57, 225]


def test_titles_and_sentences_of_a_run_have_its_first_and_last_figures():
    """A picture of the run that tells the best check, or a win rate where nobody judged."""
    run = history([4.0, 1.0], [4.3, 0.7], base=(0.5, 0.8))
    assert lesson.plot_run(run).get_suptitle() == "held-out loss from 4.30 to 0.70; win rate 0.80 against base"
    said = lesson.training_in_words(run, 72, JUDGE, epochs=1)
    assert "from 4.30 to 0.70 nats" in said and "**to 0.80.**" in said and "little to memorise" in said
    blind = history([4.0, 1.0], [4.3, 0.7])
    assert len(lesson.plot_run(blind).axes) == 1
    assert lesson.training_in_words(blind, 72, None, epochs=2).endswith("nats a token.**")


@pytest.mark.parametrize("held_out, rate, words", [
    ((4.0, 1.0), 0.8, "did **not** turn while the training loss fell. **The collapse of the answers that the report saw is not seen"),
    ((1.0, 2.0), 0.4, "**turned and rose** while the training loss fell. **The answers ended worse")])
def test_the_small_subset_says_whether_loss_and_answers_part(held_out, rate, words):
    """A collapse that is told of a run that won, or a held-out loss that turned and is said not to have."""
    assert words in lesson.small_in_words(history([4.0, 0.1], held_out, base=(0.5, rate)), on_pocket=False)


def test_early_stopping_says_so_where_nothing_was_better_than_no_training():
    """The base's own weights praised as those of a trained model."""
    steps, values = np.array([0, 10, 20]), np.array([0.5, 0.4, 0.3])
    assert "not training at all" in lesson.early_stop_in_words(steps, values, stop=2, keep=0, patience=2)
    assert "not training" not in lesson.early_stop_in_words(steps, values[::-1], stop=2, keep=2, patience=2)


@pytest.mark.parametrize("first, words", [(0.4, "**More of the first choices are rambling than"), (0.1, "Mean gold score: 8.00 greedy")])
def test_the_first_choice_has_the_style_only_if_it_has_more_of_its_flaws(first, words):
    """A style that is told whatever was measured."""
    styles = {"SFT, first choice": {"rambling": first}, "SFT at 0.7": {"rambling": 0.2}}
    assert lesson.style_in_words(styles, 8.0, 8.1).startswith(words)
    assert lesson.styles_figure(styles).get_suptitle() == f"rambling: {first:.0%} of the first choices, 20% at 0.7"


def test_the_penalty_is_compared_half_by_half():
    """A run of three points that is said to have fallen, or the halves exchanged."""
    assert "penalty fell (4.00 to 1.00)" in lesson.penalty_in_words(np.array([5.0, 3, 1, 1]), 32, 3)
    assert "did not fall" in lesson.penalty_in_words(np.array([1.0, 1, 2, 2]), 32, 3)
    assert "too short" in lesson.penalty_in_words(np.array([5.0, 3, 1]), 32, 3)


@pytest.mark.parametrize("interval, claim, words", [
    ((0.55, 0.7), "above", "holds here"), ((0.55, 0.7), "below", "does not hold here"), ((0.45, 0.6), "above", "cannot be told"),
    ((0.45, 0.6), "near", "no difference seen here"), ((0.1, 0.2), "near", "does not hold here")])
def test_verdicts_come_from_the_interval(interval, claim, words):
    """Guards against a verdict that an interval around one half does not allow."""
    assert lesson.verdict(interval, claim) == words


def test_every_claim_is_measured_by_its_own_two_policies():
    """A claim's win rate with policy and opponent exchanged."""
    asked = []

    def win_rate(name, other):
        asked.append((name, other))
        return SimpleNamespace(interval=(0.6, 0.7))

    rows = lesson.claims_of(SimpleNamespace(win_rate=win_rate))
    assert asked[2] == ("SFT, length penalty", "SFT, more steps") and len(rows) == len(asked) == len(lesson.CLAIMS)
    assert rows[0][3] == "does not hold here" and rows[1][3] == "holds here"
