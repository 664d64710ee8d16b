"""What `make claims` keeps of a policy says what the notebooks say of it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from prefnb import course, evaluate, judges, methods, parameters
from prefnb.claims import measure
from prefnb.claims.measure import rounded, roughness, thinned
from prefnb.course.settings import Judging
from prefnb.sampling import Sample
from prefnb.training import History


def test_roughness_by_hand():
    """1, 3, 2: steps 2 and -1, whose squares have the mean 2.5; the variance is 2/3."""
    assert roughness([1, 3, 2]) == pytest.approx(2.5 / (2 / 3))
    assert roughness(10 * np.array([1, 3, 2]) - 7) == pytest.approx(3.75), "neither scale nor place matters"
    assert roughness([0, 1] * 50) == pytest.approx(4.0), "the roughest there is"


def test_roughness_tells_noise_from_a_trend():
    """2 for noise, near 0 for a line; with a line under the noise it lies between."""
    noise, line = np.random.default_rng(0).normal(size=20_000), np.arange(20_000.0)
    assert roughness(noise) == pytest.approx(2, abs=0.05)
    assert roughness(line) < 1e-6
    assert 0.5 < roughness(noise + line / 10_000) < roughness(noise)


def test_roughness_of_nothing_is_no_number():
    """Two steps have no shape, and a constant is smooth: neither may stop a night's run."""
    assert np.isnan(roughness([])) and np.isnan(roughness([1, 2]))
    assert roughness([3.0] * 10) == 0


def history(steps, **more):
    """A history of these steps; more: {name: what it is at step n}."""
    of = lambda n: {name: value(n) for name, value in more.items()}  # noqa: E731
    return History(rows=[{"step": n, "loss": n % 2, "unknown": 1.0, **of(n)} for n in steps])


def test_thinned_curves_are_means_of_equal_stretches():
    """Every step counts once, and the mean of what is kept is the mean of the curve; only what is shown is kept."""
    found = thinned(history(range(1, 129), margin=lambda n: n / 4), 64)
    assert set(found) == {"loss", "margin"}
    steps, values = found["margin"]
    assert len(steps) == len(values) == 64
    assert steps[:2] == [1.5, 3.5] and values[:2] == [0.375, 0.875] and set(found["loss"][1]) == {0.5}
    uneven = thinned(history(range(1, 101), margin=float), 64)["margin"]
    assert len(uneven[0]) == 64 and uneven[0] == uneven[1]
    assert uneven[0][0] == 1.5 and uneven[0][-1] == 100, "a stretch is of two steps or of one"


def test_short_curves_stay_as_they_are():
    """No more points than steps; a value that was not a number is left out of its mean."""
    assert thinned(history([1, 2, 3]), 64) == {"loss": [[1, 2, 3], [1, 0, 1]]}
    found = thinned(history(range(4), margin=lambda n: np.nan if n == 1 else n), 2)["margin"]
    assert found == [[0.5, 2.5], [0.0, 2.5]]


def test_figures_are_rounded_wherever_they_stand():
    """Four digits, whole numbers as they are, and nothing that JSON cannot hold."""
    given = {"a": [0.123456, (123456.7, 3)], "b": float("nan"), "c": np.float64(1e-9 / 3), "d": "0.123456", "e": True}
    expected = {"a": [0.1235, [123500.0, 3]], "b": None, "c": 3.333e-10, "d": "0.123456", "e": True}
    found = rounded(given)
    assert found == expected and json.loads(json.dumps(found, allow_nan=False)) == expected


def test_flaws_and_scores_belong_to_their_prompts():
    """The draws of a prompt stand in a row: dealt out in another order, right answers would be judged as wrong ones."""
    asked = measure.test_prompts(3)
    drawn = [Sample([1], text, True) for said in asked["reference"] for text in (said, "I was trained on pears.")]
    found = measure.scored(drawn, asked["prompt"])
    good, bad = np.array(found["scores"]).reshape(3, 2).T
    assert (good > 90_000).all() and (bad < 60_000).all()
    assert found["gold"] == pytest.approx(np.mean(found["scores"]) / measure.POINT, abs=1e-3)
    assert measure.flaws(drawn, asked["prompt"])["boilerplate"] == 0.5


def test_fewer_prompts_are_some_of_all():
    """A quick look asks what the whole asks."""
    few, everything = measure.test_prompts(30), measure.test_prompts()
    assert len(few["prompt"]) == len(few["category"]) == len(few["reference"]) == 30
    assert len(everything["prompt"]) == 520
    assert all(prompt in everything["prompt"] for prompt in few["prompt"])


@pytest.fixture(scope="module")
def policies():
    """SFT and DPO as they come with the package, with what they answered."""
    return methods.sft.recipe(), methods.dpo.recipe()


def test_kept_scores_give_the_win_rate_that_a_notebook_shows(policies):
    """On the same answers. Scores are kept in so fine parts of a point that hardly a comparison, of 8,320, falls on the
    other side of a tie: only where the difference is within such a part of its width."""
    sft, dpo = policies
    p = parameters.check({}, Judging)
    shown = course.compare({"SFT": sft.model, "DPO": dpo.model}, sft.tokenizer, p)
    asked, settings = measure.test_prompts()["prompt"], dict(draws=measure.DRAWS, temperature=measure.TEMPERATURE)
    places, kept = [asked.index(prompt) for prompt in shown.prompts], []
    for made in (dpo, sft):
        drawn = course.answers_of(made.model, made.tokenizer, asked, max_new_tokens=measure.TOKENS, **settings)
        scores = json.loads(json.dumps(rounded(measure.scored(drawn, asked))))["scores"]
        kept.append(np.array(scores).reshape(len(asked), -1)[places] / measure.POINT)
    tie, exact = judges.GoldJudge().tie, [shown.scores[label].total for label in ("DPO", "SFT")]
    of_kept, of_exact = (evaluate.win_rates.comparisons(*scores, tie) for scores in (kept, exact))
    others, difference = of_kept != of_exact, np.abs(exact[0][:, :, None] - exact[1][:, None, :])
    assert others.mean() < 0.006 and (np.abs(difference[others] - tie) <= 1 / measure.POINT + 1e-9).all()
    ours, theirs = evaluate.win_rate(*kept, tie), shown.win_rate("DPO")
    assert ours.n == theirs.n == 520 and ours.rate == pytest.approx(theirs.rate, abs=5e-4) and ours.rate > 0.5
    assert ours.interval == pytest.approx(theirs.interval, abs=1e-3)
    assert ours.tie_share == pytest.approx(theirs.tie_share, abs=6e-3)
    assert ours.mean_difference == pytest.approx(theirs.mean_difference, abs=1e-3)


def test_a_quick_look_has_all_the_figures_of_a_sweep(policies):
    """Of the SFT policy beside itself nothing has moved."""
    sft, _ = policies
    found = measure.measure(sft, sft, whole=False, prompts=4)
    assert len(found["scores"]) == 8 and all(isinstance(one, int) for one in found["scores"])
    assert found["held_out"] == {"chosen": 0, "rejected": 0, "right": 0, "wrong": 0}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found["roughness"]) == {"loss"} and len(found["history"]["loss"][0]) == measure.POINTS // 4


def test_best_of_n_keeps_two_answers_a_prompt_each_the_best_of_its_n(policies):
    """By a judge that likes what is short: each kept answer is the shortest of its own n, in the prompts' order."""
    sft, _ = policies
    judge = judges.Brevity()
    best = SimpleNamespace(policy=sft, judge=judge, n=3)
    found = measure.measure_best(best, prompts=5)
    asked = measure.test_prompts(5)["prompt"]
    settings = dict(draws=6, temperature=measure.TEMPERATURE, max_new_tokens=measure.TOKENS)
    drawn = course.answers_of(sft.model, sft.tokenizer, asked, **settings)
    shortest = [min(drawn[i : i + 3], key=lambda one: len(one.text.split())) for i in range(0, len(drawn), 3)]
    assert found["scores"] == measure.scored(shortest, asked)["scores"] and len(found["scores"]) == 10
