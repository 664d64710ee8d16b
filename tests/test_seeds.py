"""What is known over prompts and seeds: intervals that cover, tests whose p-values are right."""

import math

import numpy as np
import pytest
from scipy import stats

from prefnb import evaluate
from prefnb.evaluate.seeds import resampled


def inside(interval, value):
    return interval[0] <= value <= interval[1]


def data_set(rng, seeds=5, prompts=100, by_seed=0.06, by_prompt=0.3, noise=0.3):
    """A true mean of 0, an effect of each seed, one of each prompt, and noise: (seeds, prompts)."""
    effects = rng.normal(0, by_seed, (seeds, 1)) + rng.normal(0, by_prompt, (1, prompts))
    return effects + rng.normal(0, noise, (seeds, prompts))


def test_only_the_interval_that_knows_both_covers():
    """Guards against intervals for a method that know its seeds alone, or its prompts alone, and promise 95%."""
    rng = np.random.default_rng(1)
    found = [evaluate.crossed(data_set(rng), seed, resamples=400) for seed in range(300)]
    share = lambda name: np.mean([inside(getattr(one, name), 0) for one in found])  # noqa: E731
    assert 0.92 <= share("interval") <= 0.98
    assert share("prompts_only") < 0.9 and share("seeds_only") < 0.75


@pytest.mark.parametrize("by_seed, low, high", [(0.0, 0.94, 1.0), (0.5, 0.8, 0.92)])
def test_where_the_interval_is_too_wide_and_where_too_narrow(by_seed, low, high):
    """What the docstring says of no difference between five seeds, and of nothing else."""
    rng = np.random.default_rng(2)
    sets = [data_set(rng, by_seed=by_seed) for _ in range(300)]
    assert low <= np.mean([inside(evaluate.crossed_interval(one, resamples=400), 0) for one in sets]) <= high


def test_five_seeds_on_the_same_prompts_are_not_eleven_sigma():
    """The hand case: 52 prompts won, 47 lost, one that decides between win rates of .52, .525 and .53. The seeds differ
    by half a percent, so .525 seems 11 standard errors above .5; another hundred prompts could turn it round."""
    last = [0.0, 0.0, 0.5, 1.0, 1.0]
    values = np.array([[1.0] * 52 + [0.0] * 47 + [one] for one in last])
    rates = values.mean(1)
    assert rates.std(ddof=1) == pytest.approx(0.005)
    assert (rates.mean() - 0.5) / (0.005 / math.sqrt(5)) == pytest.approx(11.18, abs=0.01)
    found = evaluate.crossed(values)
    assert found.seeds_only[0] > 0.52 and found.interval[0] < 0.5 < found.interval[1]
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.96 * math.sqrt(0.525 * 0.475 / 100), rel=0.1)


def test_the_resampled_means_are_those_of_rows_and_columns_drawn():
    """By loops: each resample's mean is that of the seeds and prompts it drew, each pair as often as both together."""
    values = np.random.default_rng(0).normal(size=(3, 7)).cumsum(1)
    values = values[np.lexsort(np.sort(values).T)]
    values = values[:, np.lexsort(values)]
    means = []
    for seeds, prompts in zip(*resampled(3, 7, 50, seed=4)):
        assert seeds.sum() == 3 and prompts.sum() == 7
        rows, columns = np.repeat(range(3), seeds), np.repeat(range(7), prompts)
        means.append(np.mean([values[s, i] for s in rows for i in columns]))
    shuffled = values[[2, 0, 1]][:, ::-1]
    for one in (values, shuffled):
        assert evaluate.crossed_interval(one, 4, 50) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def test_one_seed_leaves_the_bootstrap_over_prompts():
    """It says nothing of other seeds, and the text does not pretend so."""
    values = np.random.default_rng(0).random((1, 400))
    found = evaluate.crossed(values, resamples=4000)
    assert found.interval == pytest.approx(evaluate.bootstrap_interval(values[0], 1, 4000), abs=0.003)
    assert found.seeds_only is None and "seeds only" not in str(found)
    low, high = found.interval
    assert str(found).startswith(f"{values.mean():.3f} [{low:.3f}, {high:.3f}] (prompts only [")


@pytest.mark.parametrize("values", [np.zeros(5), np.zeros((0, 5)), np.full((2, 3), np.nan)])
def test_values_without_seeds_and_prompts_are_refused(values):
    """A list of win rates would be taken for prompts of one seed."""
    with pytest.raises(ValueError, match="for each seed and prompt"):
        evaluate.crossed(values)


# ---------------------------------------------------------------- paired test


def test_a_paired_test_by_hand():
    """Of the 8 sign patterns of 1, 2, 3 two are as far from 0 as found. Prompts without a difference say nothing."""
    found = evaluate.paired_test([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])
    assert (found.n, found.difference, found.p) == (3, 2.0, 0.25)
    with_zeros = evaluate.paired_test([2.0, 3.0, 4.0, 1.0, 1.0], np.ones(5))
    assert (with_zeros.n, with_zeros.difference, with_zeros.p) == (5, pytest.approx(1.2), 0.25)
    assert evaluate.paired_test([1.0, 2.0], [1.0, 2.0]).p == 1.0
    assert evaluate.paired_test([0.3, 0.1], [0.2, 0.2]).p == 1.0  # in floating point .1 and -.1 are not as far


def test_a_paired_test_agrees_with_scipy():
    """Exactly where all patterns are counted; to its own chance where they are drawn; and about with Wilcoxon."""
    rng = np.random.default_rng(0)
    exact, many = rng.normal(0.5, 1, 10), rng.normal(0.12, 1, 300)
    for difference, hair in ((exact, 1e-12), (many, 0.01)):
        theirs = stats.permutation_test(
            (difference,), lambda x, axis: x.mean(axis), permutation_type="samples", vectorized=True, rng=1
        )
        found = evaluate.paired_test(difference, np.zeros(len(difference)))
        assert 0.001 < found.p < 0.5 and found.p == pytest.approx(theirs.pvalue, abs=hair)
    assert found.p == pytest.approx(stats.wilcoxon(many).pvalue, abs=0.03)
    assert found.interval == evaluate.bootstrap_interval(many)


def test_a_paired_test_of_equals_is_significant_one_time_in_twenty():
    """Several draws a prompt are averaged first: as prompts of their own they would make chance significant."""
    rng = np.random.default_rng(0)
    equals = [rng.normal(size=(12, 1)) + rng.normal(0, 0.1, size=(12, 4)) for _ in range(400)]
    p = np.array([evaluate.paired_test(one, np.zeros(12)).p for one in equals])
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.025)


def test_a_paired_test_is_told_with_its_interval():
    """A p that is nearly 0 is not shown as 0; swapped policies change the sign alone."""
    a, b = np.random.default_rng(0).normal(1, 1, 100), np.zeros(100)
    there, back = evaluate.paired_test(a, b), evaluate.paired_test(b, a)
    assert there.difference == -back.difference and there.p == back.p
    assert there.p == 1 / 10_000 and str(there).endswith("], p < 0.001")
    assert str(evaluate.paired_test([2.0, 3.0], [1.0, 2.0])) == "+1.000 [+1.000, +1.000], p = 0.500"
