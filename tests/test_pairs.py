"""Pairs made of samples: exact mixtures, the right one chosen, and prompts that cannot give a pair."""

import numpy as np
import pytest

from prefnb import pairs
from prefnb.batches import Examples


def examples(n):
    return Examples(
        [[1, i] for i in range(n)],
        {"chosen": [[10, i] for i in range(n)], "rejected": [[20, i] for i in range(n)]},
        list(range(n)),
    )


@pytest.mark.parametrize("share, changed", [(0.0, 0), (0.1, 5), (0.2, 10), (0.33, 16), (1.0, 50)])
def test_a_mixture_has_exactly_its_share(share, changed):
    """Guards against "about 10%": the count is exact, and the pairs that are not named keep their rejected response."""
    samples = [[30, i] for i in range(50)]
    mixed, places = pairs.mixture(examples(50), samples, share)
    assert len(mixed) == 50 and len(places) == changed
    for i in range(50):
        assert mixed.responses["rejected"][i] == ([30, i] if i in places else [20, i])
        assert mixed.responses["chosen"][i] == [10, i]


def test_a_larger_share_changes_the_same_pairs_and_more():
    """Guards the comparison of 10% and 20%: one is the other with more, not another draw."""
    samples = [[30, i] for i in range(50)]
    few, many = (set(pairs.mixture(examples(50), samples, share, seed=3)[1]) for share in (0.1, 0.2))
    assert few < many


def test_a_sample_that_is_the_chosen_response_makes_no_pair():
    """Guards against pairs of two equal responses, whose gradient is nothing; the rest stays aligned."""
    samples = [[30, i] for i in range(10)]
    samples[4] = [10, 4]
    mixed, places = pairs.mixture(examples(10), samples, 1.0)
    assert (
        len(mixed) == 9
        and len(places) == 9
        and mixed.report == ["1 of 10 pairs left out: the sample is the chosen response itself."]
    )
    assert mixed.kept == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert all(c != r for c, r in zip(*mixed.responses.values()))
    assert [prompt[1] for prompt in mixed.prompt_ids] == [ids[1] for ids in mixed.responses["rejected"]]


@pytest.mark.parametrize("arguments, words", [(([[1]] * 3, 0.5), "one each"), (([[1]] * 4, 1.5), "from 0 to 1")])
def test_a_mixture_that_cannot_be_made_is_refused(arguments, words):
    """Guards against samples that belong to other pairs, and a share in percent."""
    with pytest.raises(ValueError, match=words):
        pairs.mixture(examples(4), *arguments)


def test_chosen_is_the_top_and_rejected_among_the_bottom_three():
    """Guards the curriculum's rule (002 §3.3) on many random scores, and that all of the bottom three occur."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 8))
    samples = [[[prompt, k] for k in range(8)] for prompt in range(200)]
    made = pairs.best_and_worst([[0, p] for p in range(200)], samples, scores)
    assert len(made) == 200
    ranks = []
    for prompt, chosen, rejected in zip(made.kept, made.responses["chosen"], made.responses["rejected"]):
        order = np.argsort(scores[prompt])
        assert chosen == [prompt, order[-1]]
        ranks.append(list(order).index(rejected[1]))
    assert set(ranks) == {0, 1, 2}
    again = pairs.best_and_worst([[0, p] for p in range(200)], samples, scores)
    assert again.responses == made.responses


def test_prompts_whose_samples_are_alike_or_level_give_no_pair_and_are_counted():
    """Guards the degenerate cases: all samples equal, all scores equal, more samples asked than there are distinct."""
    alike, level, few = [[7]] * 4, [[1], [2], [3], [4]], [[1], [1], [1], [2]]
    made = pairs.best_and_worst([[0], [1], [2]], [alike, level, few], [[1, 2, 3, 4], [5, 5, 5, 5], [3, 3, 3, 1]])
    assert made.kept == [2] and made.responses == {"chosen": [[1]], "rejected": [[2]]}
    assert made.report == ["2 of 3 prompts give no pair: their samples are alike or level."]
    with pytest.raises(ValueError, match="No prompt gives a pair"):
        pairs.best_and_worst([[0]], [alike], [[1, 2, 3, 4]])


def test_pairs_over_a_threshold_by_hand():
    """Guards the k-sample form: scores 0, 1, 3 with a threshold of 1 give the pairs (3, 0) and (3, 1), no more."""
    made = pairs.over_threshold([[9]], [[[0], [1], [3]]], [[0, 1, 3]], threshold=1)
    assert sorted(zip(*made.responses.values())) == [([3], [0]), ([3], [1])]
    assert made.prompt_ids == [[9], [9]] and made.kept == [0, 0]
    with pytest.raises(ValueError, match="lower the threshold"):
        pairs.over_threshold([[9]], [[[0], [1]]], [[0, 1]], threshold=1)


def test_the_best_of_k_is_the_one_with_the_highest_score():
    """Guards against an argmin, and against scores that do not belong to the samples."""
    assert pairs.best_of([["a", "b", "c"], ["d", "e", "f"]], [[0, 2, 1], [5, 5, 5]]) == ["b", "d"]
    with pytest.raises(ValueError, match="as many scores"):
        pairs.best_of([["a", "b"]], [[1, 2, 3]])
    with pytest.raises(ValueError, match="finite"):
        pairs.best_of([["a", "b"]], [[1, float("nan")]])
