import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import sacrebleu
import torch
from scipy import stats
from scipy.optimize import minimize

from prefnb import evaluate
from prefnb.batches import tokenize
from prefnb.evaluate import length_control
from prefnb.judges import Scores
from prefnb.logprobs import DatasetLogprobs, from_tokens


def texts(*responses, finished=True):
    return [SimpleNamespace(ids=list(range(len(r.split()))), text=r, finished=finished) for r in responses]


# ---------------------------------------------------------------- win rates


def test_a_win_rate_counts_by_hand():
    """Swapped arguments or a tie counted as a win would change these four numbers."""
    result = evaluate.win_rate([3.0, 1.0, 2.0, 2.05], [1.0, 3.0, 1.0, 2.0], tie=0.1)
    assert (result.n, result.rate, result.strict, result.tie_share) == (4, 0.625, 0.5, 0.25)
    assert result.mean_difference == pytest.approx((2 - 2 + 1 + 0.05) / 4)


def test_a_difference_of_exactly_the_tie_width_is_a_tie():
    """In floating point 0.3 - 0.2 < 0.1 and 1.1 - 1.0 > 0.1: rounding must not decide a comparison."""
    assert evaluate.win_rate([0.3, 1.1], [0.2, 1.0], tie=0.1).tie_share == 1


def test_a_policy_against_itself_gets_one_half():
    """Ties as losses would say that a policy is beaten by itself."""
    result = evaluate.win_rate(np.arange(5.0), np.arange(5.0))
    assert result.rate == 0.5 and result.strict == 0.0
    several = np.random.default_rng(0).normal(size=(40, 3)).round(1)
    result = evaluate.win_rate(several, several, tie=0.1)
    assert result.rate == 0.5 and result.interval == (0.5, 0.5) and result.mean_difference == 0
    assert (evaluate.outcomes(several, several, tie=0.1) == 0.5).all()


def draws(*shape, seed=0):
    """Scores with ties among them, and a spread between prompts as well as within one."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(shape[0], 1)) + rng.normal(size=shape)).round(1)


def test_every_draw_meets_every_draw_of_the_same_prompt():
    """By loops: draws paired one to one, or prompts mixed, would give other outcomes."""
    a, b = draws(7, 4, seed=1), draws(7, 3, seed=2)
    by_hand = []
    for i in range(7):
        met = [0.5 if abs(x - y) <= 0.2 + 1e-9 else float(x > y) for x in a[i] for y in b[i]]
        assert len(met) == 12
        by_hand.append(met)
    assert evaluate.outcomes(a, b, tie=0.2) == pytest.approx(np.mean(by_hand, axis=1))
    result = evaluate.win_rate(Scores(a), b, tie=0.2)
    assert result.n == 7 and result.rate == pytest.approx(np.mean(by_hand))
    assert result.strict == pytest.approx(np.equal(by_hand, 1).mean())
    assert result.tie_share == pytest.approx(np.equal(by_hand, 0.5).mean())
    assert result.mean_difference == pytest.approx(np.mean([x - y for i in range(7) for x in a[i] for y in b[i]]))
    one = evaluate.win_rate(a[:, 0], b[:, 0])  # (n,) is one draw
    assert one == evaluate.win_rate(a[:, :1], b[:, :1])


def test_intervals_resample_prompts_not_answers():
    """Sixteen draws of 30 prompts are not 480 prompts: the error of the mean outcome is that over prompts."""
    a, b = draws(30, 4, seed=3) + 0.3, draws(30, 4, seed=4)
    result, outcome = evaluate.win_rate(a, b, tie=0.1), evaluate.outcomes(a, b, tie=0.1)
    for mean, (low, high), values in (
        (result.rate, result.interval, outcome),
        (result.mean_difference, result.difference_interval, a.mean(1) - b.mean(1)),
    ):
        error = values.std() / math.sqrt(30)
        assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.35 * error)


def test_more_draws_make_the_same_rate_surer():
    """The half-width falls with the draws; the rate itself stays where it was, within it."""
    a, b = draws(300, 8, seed=5) + 0.3, draws(300, 8, seed=6)
    one, eight = evaluate.win_rate(a[:, 0], b[:, 0]), evaluate.win_rate(a, b)
    width = lambda result: result.interval[1] - result.interval[0]  # noqa: E731
    assert width(eight) < 0.85 * width(one) and one.interval[0] < eight.rate < one.interval[1]


def test_the_order_of_the_prompts_does_not_matter():
    """The same prompts in another order are the same comparison, interval included."""
    a, b = draws(30, 4, seed=3), draws(30, 4, seed=4)
    assert evaluate.win_rate(a, b) == evaluate.win_rate(a[::-1], b[::-1])


def test_swapping_the_sides_mirrors_the_win_rate():
    """A comparison must not depend on which side is called the baseline."""
    a, b = np.random.default_rng(0).normal(size=(2, 50))
    there, back = evaluate.win_rate(a, b, tie=0.3), evaluate.win_rate(b, a, tie=0.3)
    assert there.rate == pytest.approx(1 - back.rate) and there.tie_share == back.tie_share


def test_wilson_agrees_with_the_score_test():
    """By definition Wilson's ends are the p at which |wins/n - p| is 1.96 standard errors *under p*."""
    for wins, n in [(0, 10), (3, 10), (62, 100), (10, 10)]:
        for p in evaluate.wilson_interval(wins, n):
            if 0 < p < 1:
                assert abs(wins / n - p) == pytest.approx(1.959964 * math.sqrt(p * (1 - p) / n), abs=1e-6)
    assert evaluate.wilson_interval(0, 10)[1] > 0.2  # no wins in ten is not certainty


def test_intervals_agree_with_scipy():
    """Wilson's to the last digit, the win rate's as nearly as two bootstraps with different random numbers agree."""
    for wins, n in [(0, 10), (3, 10), (62, 100), (10, 10)]:
        theirs = stats.binomtest(wins, n).proportion_ci(method="wilson")
        assert evaluate.wilson_interval(wins, n) == pytest.approx((theirs.low, theirs.high), abs=1e-6)
    a, b = draws(200, 3, seed=7) + 0.2, draws(200, 2, seed=8)
    result, outcome = evaluate.win_rate(a, b, tie=0.1), evaluate.outcomes(a, b, tie=0.1)
    for found, values in ((result.interval, outcome), (result.difference_interval, a.mean(1) - b.mean(1))):
        theirs = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=1).confidence_interval
        assert found == pytest.approx(tuple(theirs), abs=0.08 * (theirs.high - theirs.low))


def test_the_bootstrap_interval_has_the_width_of_theory():
    """The standard error of a mean is sd / sqrt(n); a bootstrap over the wrong axis would miss it."""
    values = np.random.default_rng(0).normal(size=400)
    low, high = evaluate.bootstrap_interval(values, seed=1, resamples=4000)
    assert (high - low) / (2 * 1.96) == pytest.approx(values.std() / 20, rel=0.1)
    assert low < values.mean() < high


def test_intervals_repeat_with_their_seed():
    """The same command twice has to print the same numbers."""
    a, b = np.random.default_rng(0).normal(size=(2, 50))
    assert evaluate.win_rate(a, b, seed=3) == evaluate.win_rate(a, b, seed=3)
    assert evaluate.bootstrap_interval(a, seed=3) != evaluate.bootstrap_interval(a, seed=4)


def test_a_win_rate_prints_with_interval_and_ties():
    """What notebooks print must be the number that is half at equality."""
    text = str(evaluate.win_rate(Scores(np.array([1.0, 1.0, 0.0, 2.0])), Scores(np.ones(4))))
    assert text.startswith("0.50 [") and text.endswith("(ties 0.50)")


def test_categories_do_not_mix():
    """Each category's win rate is that of its own rows."""
    found = evaluate.by_category([1, 0, 1, 1], [0, 1, 0, 0], ["b", "a", "b", "a"])
    assert list(found) == ["a", "b"]
    assert found["a"].rate == 0.5 and found["b"].rate == 1.0 and found["b"].n == 2
    several = evaluate.by_category([[1, 0], [0, 0]], [[0, 0], [0, 1]], ["b", "a"])
    assert several["a"].rate == 0.25 and several["b"].rate == 0.75
    a, b, names = draws(40, 3, seed=1), draws(40, 2, seed=2), np.array(list("abcb") * 10)
    for name, one in evaluate.by_category(a, b, names, tie=0.1).items():
        assert one == evaluate.win_rate(a[names == name], b[names == name], tie=0.1)


def test_mean_and_win_rate_that_disagree_are_seen():
    """Many hair's-breadth losses and one large win: the case that turned a verdict round."""
    assert not evaluate.win_rate([0, 0, 0, 9.0], [0.01, 0.01, 0.01, 0]).same_direction
    assert evaluate.win_rate([0, 0, 0, 9.0], [0.01, 0.01, 0.01, 0], tie=0.1).same_direction


# ---------------------------------------------------------------- length control


def judged_by_length(n=2000, skill=0.0, length=2.0, seed=0):
    """Outcomes drawn from the very model that is fitted; returns scores and the policy's extra length."""
    rng = np.random.default_rng(seed)
    extra = rng.normal(10, 10, n)  # the policy is longer on average
    p = 1 / (1 + np.exp(-(skill + length * np.tanh(extra / extra.std()))))
    return (rng.random(n) < p).astype(float), extra


@pytest.mark.parametrize("skill", [0.0, 1.0])
def test_length_control_recovers_the_skill_behind_longer_answers(skill):
    """A policy that wins by length alone must come out at one half, a better one at its own odds."""
    wins, extra = judged_by_length(skill=skill)
    half, fifty = np.full(len(wins), 0.5), np.full(len(wins), 50)
    result = evaluate.length_controlled_win_rate(wins, half, extra + 50, fifty)
    assert result.raw > result.rate + 0.05
    assert result.interval[0] < 1 / (1 + math.exp(-skill)) < result.interval[1]
    assert result.length_effect == pytest.approx(2.0, abs=0.3)


def test_the_newton_fit_is_a_minimum():
    """Checked against torch's gradient of the same loss: it must vanish."""
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(60, 2)), rng.choice([0.0, 0.5, 1.0], 60)
    weights, _ = length_control._fit_logistic(features, target, ridge=0.1)
    w = torch.tensor(weights, requires_grad=True)
    logits = torch.tensor(features) @ w
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(target), reduction="sum")
    (loss + 0.05 * (w @ w)).backward()
    assert w.grad.abs().max() < 1e-6


def lengths_by_hand(longer, wins_longer, shorter, wins_shorter):
    """A policy that is as much longer on some prompts as it is shorter on the others, with so many wins on each."""
    wins = np.repeat([1.0, 0.0, 1.0, 0.0], [wins_longer, longer - wins_longer, wins_shorter, shorter - wins_shorter])
    extra = np.repeat([10.0, -10.0], [longer, shorter])
    n = longer + shorter
    return evaluate.length_controlled_win_rate(wins, np.full(n, 0.5), 50 + extra, np.full(n, 50.0))


@pytest.mark.parametrize("counts, parts", [((200, 150, 200, 100), False), ((600, 480, 200, 110), True)])
def test_length_control_by_hand(counts, parts):
    """With two lengths the model has a parameter for each: a is the mean of their log-odds, its variance a quarter of
    the sum of 1 / (n p (1 - p)). Half longer, raw and controlled rate differ within chance; three quarters longer, not."""
    longer, wins_longer, shorter, wins_shorter = counts
    p, q = wins_longer / longer, wins_shorter / shorter
    a = (math.log(p / (1 - p)) + math.log(q / (1 - q))) / 2
    error = math.sqrt(1 / (longer * p * (1 - p)) + 1 / (shorter * q * (1 - q))) / 2
    found = lengths_by_hand(*counts)
    by_hand = [1 / (1 + math.exp(-x)) for x in (a, a - 1.96 * error, a + 1.96 * error)]
    assert [found.rate, *found.interval] == pytest.approx(by_hand, abs=2e-4)  # the ridge
    assert found.raw == (wins_longer + wins_shorter) / (longer + shorter) and found.parts == parts


def test_length_control_warns_in_words_where_the_rates_part():
    """Both ways: longer answers that win, and a better policy whose short answers lose."""
    flattered, held_back = lengths_by_hand(600, 480, 200, 110), lengths_by_hand(200, 160, 600, 330)
    assert str(flattered).endswith("(uncontrolled 0.74, flattered by the lengths of its answers)")
    assert held_back.parts and str(held_back).endswith("(uncontrolled 0.61, held back by the lengths of its answers)")
    assert str(lengths_by_hand(200, 150, 200, 100)).endswith("(uncontrolled 0.62)")


def test_length_control_agrees_with_a_general_minimiser():
    """Of the same penalised likelihood, by finite differences: another rate or another curvature would show."""
    rng = np.random.default_rng(0)
    wins = rng.choice([0.0, 0.5, 1.0], 150, p=[0.3, 0.1, 0.6])
    extra = rng.normal(4, 10, 150) + 5 * wins
    found = evaluate.length_controlled_win_rate(wins, np.full(150, 0.5), 50 + extra, np.full(150, 50.0), tie=0.1)
    longer = np.tanh(extra / extra.std())

    def loss(w):
        x = w[0] + w[1] * longer
        likelihood = wins * np.log(stats.logistic.cdf(x)) + (1 - wins) * np.log(stats.logistic.sf(x))
        return -likelihood.sum() + length_control.RIDGE / 2 * (w @ w)

    best = minimize(loss, np.zeros(2), method="BFGS", tol=1e-10).x
    steps = 1e-3 * np.eye(2)
    curvature = [[(loss(best + i + j) - loss(best + i - j) - loss(best - i + j) + loss(best - i - j)) / 4e-6
                  for j in steps] for i in steps]  # fmt: skip
    error = math.sqrt(np.linalg.inv(curvature)[0, 0])
    ends = stats.logistic.cdf([best[0], best[0] - 1.96 * error, best[0] + 1.96 * error])
    assert [found.rate, *found.interval] == pytest.approx(ends, abs=1e-4)
    assert found.length_effect == pytest.approx(best[1], abs=1e-4)


def test_length_control_of_several_draws_is_that_of_their_comparisons():
    """The same draws four times over are no news: rate and interval stay."""
    wins, extra = judged_by_length(n=300)
    half, fifty = np.full(len(wins), 0.5), np.full(len(wins), 50.0)
    once = evaluate.length_controlled_win_rate(wins, half, extra + 50, fifty)
    twice = lambda values: np.stack([values] * 2, axis=1)  # noqa: E731
    again = evaluate.length_controlled_win_rate(twice(wins), twice(half), twice(extra + 50), twice(fifty))
    assert (again.rate, *again.interval) == pytest.approx((once.rate, *once.interval))
    with pytest.raises(ValueError, match="one length for each score"):
        evaluate.length_controlled_win_rate(twice(wins), twice(half), extra, fifty)


@pytest.mark.parametrize("extra", [np.zeros(40), np.full(40, 7.0)])
def test_constant_lengths_leave_the_raw_win_rate(extra):
    """Dividing by a standard deviation of 0 would give NaN."""
    wins = np.array([1.0, 0, 1, 1] * 10)
    result = evaluate.length_controlled_win_rate(wins, np.full(40, 0.5), 20 + extra, np.full(40, 20.0))
    assert result.rate == pytest.approx(0.75, abs=0.01) and result.length_effect == 0.0


@pytest.mark.parametrize("outcome", ["all wins", "longer wins", "all ties"])
def test_separable_outcomes_stay_finite(outcome):
    """Without the ridge the weights run off to infinity."""
    extra = np.linspace(-20, 20, 40)
    scores = {"all wins": np.ones(40), "longer wins": extra, "all ties": np.zeros(40)}[outcome]
    result = evaluate.length_controlled_win_rate(scores, np.zeros(40), 30 + extra, np.full(40, 30.0))
    assert np.isfinite([result.rate, result.length_effect, *result.interval]).all()
    assert result.interval[0] <= result.rate <= result.interval[1]
    assert result.rate == pytest.approx(1.0 if outcome == "all wins" else 0.5, abs=0.01)
    assert not result.parts


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: evaluate.win_rate([1, 2], [1]), "2 scores and 1 baseline"),
        (lambda: evaluate.win_rate([], []), "not none at all"),
        (lambda: evaluate.win_rate(np.zeros((2, 2, 2)), [1, 2]), "K per prompt"),
        (lambda: evaluate.win_rate([1, math.nan], [1, 2]), "1 values that are not finite"),
        (lambda: evaluate.win_rate([1], [1], tie=-1), "tie width"),
        (lambda: evaluate.by_category([1, 2], [1, 2], ["a"]), "1 categories"),
        (lambda: evaluate.length_controlled_win_rate([1, 2], [1, 2], [3], [1, 1]), "one length for each"),
        (lambda: evaluate.bleu(["a"], ["a", "b"]), "reference"),
        (lambda: evaluate.distinct_n([]), "no responses"),
        (lambda: evaluate.self_bleu(["a"]), "at least two"),
        (lambda: evaluate.perplexity([0.0], [0]), "token count"),
        (lambda: evaluate.collapse_check(texts("a b"), texts("a b", "c d")), "1 samples and 2"),
    ],
)
def test_bad_input_is_one_clear_error(call, message):
    """NaN scores would be counted as losses and short lists cut without a word."""
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------- text measures


def test_bleu_of_a_case_computed_by_hand():
    """5 words, 4 right, 2 of 4 pairs right, same length: sqrt(4/5 * 2/4) for BLEU-2; in per cent."""
    found = evaluate.bleu(["a b c x e"], ["a b c d e"])
    assert found["bleu1"] == pytest.approx(80.0)
    assert found["bleu2"] == pytest.approx(100 * math.sqrt(4 / 5 * 2 / 4))
    assert evaluate.bleu(["one two three four"], ["one two three four"])["bleu4"] == pytest.approx(100)


def test_bleu_agrees_with_sacrebleu_called_directly():
    """On several sentences, some shorter than their reference, with case and punctuation: corpus BLEU-4 is sacrebleu's
    own, and the lower orders are the means of its precisions, with its brevity penalty."""
    said = ["The heron is grey, and it waits.", "A fox ran over the hill", "Yes: the owl is old!"]
    right = ["The heron is grey; it waits by the river.", "The fox ran over the hill.", "The owl is old and wise."]
    found, theirs = evaluate.bleu(said, right), sacrebleu.corpus_bleu(said, [right])
    assert 0 < theirs.bp < 1 and found["bleu4"] == pytest.approx(theirs.score)
    for order in (1, 2):
        by_hand = theirs.bp * math.exp(np.log(theirs.precisions[:order]).mean())
        assert found[f"bleu{order}"] == pytest.approx(by_hand)


def test_perplexity_agrees_with_the_loss_of_transformers(model, tokenizer, pairs):
    """exp of the mean loss over the tokens of all responses, prompts left out, as the model itself gives it."""
    rows = [{"prompt": pair["prompt"], "response": pair["chosen"]} for pair in pairs[:5]]
    examples = tokenize(rows, tokenizer, ("response",), quiet=True)
    found = DatasetLogprobs.compute(model, examples).all().response
    total = tokens = 0
    for prompt, said in zip(examples.prompt_ids, examples.responses["response"]):
        with torch.no_grad():
            loss = model(torch.tensor([prompt + said]), labels=torch.tensor([[-100] * len(prompt) + said])).loss
        total, tokens = total + float(loss) * len(said), tokens + len(said)
    assert evaluate.perplexity(found.sum, found.length) == pytest.approx(math.exp(total / tokens), rel=1e-4)


def test_perplexity_of_a_uniform_model_is_its_vocabulary():
    """Averaging per response first, or forgetting the sign, would not give 50."""
    lengths = torch.tensor([3, 17])
    assert evaluate.perplexity(-math.log(50) * lengths, lengths) == pytest.approx(50)


def test_distinct_n_by_hand():
    """Pairs across two responses are not n-grams, and case does not count."""
    assert evaluate.distinct_n(["a b a b", "A b"], 2) == pytest.approx(2 / 4)
    assert evaluate.distinct_n(["a", ""], 2) == 0.0


def test_self_bleu_by_hand():
    """Two responses that share 3 of 4 words, 2 of 3 pairs, 1 of 2 triples and no four, which counts as half a one."""
    by_hand = 100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** (1 / 4)
    assert evaluate.self_bleu(["a b c d", "a b c e"]) == pytest.approx(by_hand)


def test_self_bleu_tells_alike_from_different():
    """Leaving a response among its own references would make every set look alike."""
    alike = ["the red kite sat on the hill"] * 6
    different = [" ".join(f"{letter}{i}" for i in range(7)) for letter in "abcdef"]
    assert evaluate.self_bleu(alike) == pytest.approx(100)
    assert evaluate.self_bleu(different) < 5


# ---------------------------------------------------------------- KL and collapse


def test_sampled_kl_of_a_case_computed_by_hand():
    """Policy and reference swapped, or the mean over tokens taken for the sum, would change k1 and k3."""
    policy = from_tokens(sample=[[-1.0, -0.5], [-2.0]]).sample
    reference = from_tokens(sample=[[-1.5, -0.5], [-1.0]]).sample
    found = evaluate.kl(policy, reference)
    assert found["k1"] == pytest.approx((0.5 - 1.0) / 2)
    k3 = [math.exp(-0.5) + 0.5 - 1, math.exp(1.0) - 1.0 - 1]
    assert found["k3"] == pytest.approx(sum(k3) / 2, rel=1e-6)
    assert found["per_token"] == pytest.approx(sum(k3) / 3, rel=1e-6)


def test_sampled_kl_averages_to_the_true_kl():
    """One-token responses from a known distribution: both estimators must come out at sum p log(p / q)."""
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.4, 0.4, 0.2])
    drawn = torch.multinomial(p, 4000, replacement=True, generator=torch.Generator().manual_seed(0))
    policy, reference = (from_tokens(sample=list(d.log()[drawn][:, None])).sample for d in (p, q))
    true = float((p * (p / q).log()).sum())
    found = evaluate.kl(policy, reference)
    assert found["k1"] == pytest.approx(true, abs=0.03)
    assert found["interval"][0] < true < found["interval"][1]


def test_kl_of_other_samples_is_refused():
    """Log-probs of different responses have no ratio."""
    with pytest.raises(ValueError, match="same non-empty samples"):
        evaluate.kl(from_tokens(sample=[[-1.0]]).sample, from_tokens(sample=[[-1.0, -2.0]]).sample)


NORMAL = [f"the {a} {b} sat on a {c} and looked at {i} birds" for i, (a, b, c) in enumerate(
    [("red", "fox", "hill"), ("old", "dog", "mat"), ("shy", "cat", "wall"), ("big", "owl", "branch")] * 5)]


@pytest.mark.parametrize(
    "samples, kl, reason",
    [
        (texts(*["the the the the the the the the the the the"] * 20), None, "repeats itself"),
        (texts(*[" ".join([t] * 4) for t in NORMAL]), None, "times as long"),
        (texts(*["yes"] * 20), None, "0.08 times as long"),
        (texts(*NORMAL, finished=False), None, "100% of its responses never end"),
        (texts(*NORMAL), 40.0, "3.33 nats per token"),
        (texts(*NORMAL), {"per_token": 1.5}, "1.50 nats per token"),
    ],
)
def test_every_kind_of_collapse_is_said_in_words(samples, kl, reason):
    """A collapsed policy whose loss looks fine has to be called collapsed."""
    found = evaluate.collapse_check(samples, texts(*NORMAL), kl)
    assert found.collapsed and reason in str(found)


def test_word_salad_is_collapse():
    """Penalising likelihood without bound ends in noise, which is more diverse than any text."""
    same = texts(*["the red fox sat on the hill"] * 20)
    noise = texts(*[" ".join(f"w{i * 7 + j}" for j in range(7)) for i in range(20)])
    assert "word salad" in str(evaluate.collapse_check(noise, same))


def test_a_healthy_policy_is_not_called_collapsed():
    """Somewhat longer answers and some KL are what training is for."""
    longer = texts(*[t + " and at the sky" for t in NORMAL])
    found = evaluate.collapse_check(longer, texts(*NORMAL), kl=8.0)
    assert not found.collapsed and "No sign of collapse" in str(found)
    unfinished = texts(*NORMAL, finished=False)
    assert not evaluate.collapse_check(unfinished, unfinished).collapsed  # the baseline never ends either


def test_evaluate_does_not_import_what_only_pictures_need():
    """Training machines without a display import this module."""
    code = "import sys, prefnb.evaluate; print([m for m in ('matplotlib', 'torch', 'scipy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == "[]"


def test_a_verdict_needs_an_interval_clear_of_no_effect():
    """Guards against a verdict that an interval around no effect does not allow, and against its two sides swapped."""
    assert [evaluate.verdict(i) for i in ((0.6, 0.8), (0.2, 0.4), (0.4, 0.6))] == [
        "holds here", "does not hold here", "cannot be told"]
    assert evaluate.verdict((0.1, 0.3), null=0.0) == "holds here"


def test_a_mean_is_shown_with_the_interval_it_has():
    """Guards against a sign or a bound lost in the text."""
    assert evaluate.mean_and_interval(np.full(9, -0.5)) == "-0.50 [-0.50, -0.50]"


@pytest.mark.parametrize("shift, words", [(-1.0, "fell"), (1.0, "rose"), (0.0, "did not move by more than chance")])
def test_a_change_is_told_from_its_interval(shift, words):
    """Guards the words against a mean that chance alone would explain."""
    assert evaluate.change(torch.linspace(-1, 1, 101) + shift) == words
