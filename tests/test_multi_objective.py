"""Several scores become one reward as defined, for two objectives and more, and the learned rule is the best fit."""

import math

import numpy as np
import pytest
import torch

from conftest import random_model

from prefnb import judges, methods, models, parameters
from prefnb.methods import multi_objective as rules

K = [2, 3, 4]


def vectors(k, n=6, seed=0):
    return torch.rand(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("k", K)
def test_rules_are_their_sums_by_hand(k):
    """Every rule against plain Python, number by number, for two objectives and for more."""
    scores, weights, tau = vectors(k), [0.1 + i for i in range(k)], 3.0
    found = rules.gaps(scores, 0.9)
    by_hand = [[abs(float(s) - 0.9) for s in row] for row in scores]
    assert torch.allclose(found, torch.tensor(by_hand, dtype=torch.float64))
    for i, row in enumerate(by_hand):
        terms = [w * g for w, g in zip(weights, row)]
        assert rules.weighted_gaps(found, weights)[i].item() == pytest.approx(-sum(terms))
        soft = -math.log(sum(math.exp(tau * term) for term in terms)) / tau
        assert rules.soft_chebyshev(found, weights, tau)[i].item() == pytest.approx(soft)
        total = sum(w * s for w, s in zip(weights, scores[i].tolist()))
        assert rules.linear(scores, weights)[i].item() == pytest.approx(total)


@pytest.mark.parametrize("k", K)
def test_soft_chebyshev_becomes_the_worst_gap_alone(k):
    """tau to infinity: -max w g, without overflow; for any tau it lies below by at most log(k) / tau."""
    gaps, weights = rules.gaps(vectors(k), 1.0), torch.arange(1.0, k + 1, dtype=torch.float64)
    worst = -(gaps * weights).max(1).values
    assert torch.allclose(rules.soft_chebyshev(gaps, weights, 1e6), worst, atol=1e-5)
    for tau in (0.1, 1.0, 30.0):
        below = worst - rules.soft_chebyshev(gaps, weights, tau)
        assert (below >= -1e-12).all() and (below <= math.log(k) / tau + 1e-12).all()


@pytest.mark.parametrize("k", K)
def test_gradients_with_respect_to_gaps_are_those_of_finite_differences(k):
    """Autograd of every rule against central differences."""
    gaps, weights = vectors(k).requires_grad_(), [0.3 + i for i in range(k)]
    for rule in (lambda g: rules.soft_chebyshev(g, weights, 5.0), lambda g: rules.weighted_gaps(g, weights),
                 lambda g: rules.linear(g, weights)):
        assert torch.autograd.gradcheck(rule, (gaps,))


def test_with_ideals_at_the_top_the_weighted_gaps_are_the_linear_reward_less_a_constant():
    """So both have the same leave-one-out advantages: the paper's two rewards are one method once there is a baseline."""
    scores, weights = vectors(3), [0.5, 0.2, 0.3]
    difference = rules.linear(scores, weights) - rules.weighted_gaps(rules.gaps(scores, 1.0), weights)
    assert torch.allclose(difference, torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize("k", K)
def test_features_are_scores_and_products_under_their_names(k):
    """A name that belongs to another column would make the notebook's table of weights a lie."""
    scores, names = vectors(k), "abcd"[:k]
    phi, named = rules.features(scores), rules.feature_names(names)
    assert phi.shape == (6, len(named)) == (6, k + k * (k + 1) // 2)
    for column, name in zip(phi.T, named):
        factors = [scores[:, names.index(one)] for one in name.split(" × ")]
        assert torch.allclose(column, math.prod(factors[1:], start=factors[0]))


@pytest.mark.parametrize("k", K)
def test_the_fit_is_the_minimum_of_the_ridge_loss(k):
    """At the fitted w autograd's gradient of the written-out loss vanishes; it is convex, so that is the minimum."""
    chosen, rejected, ridge = vectors(k, 200, 1) ** 0.7, vectors(k, 200, 2), 0.02
    f = rules.fit_preference(chosen, rejected, ridge=ridge)
    w = f.weights.clone().requires_grad_()
    fitted = rules.PreferenceFunction(w, f.mean, f.scale)
    loss = torch.log1p(torch.exp(fitted(rejected) - fitted(chosen))).mean() + ridge / 2 * (w**2).sum()
    assert torch.autograd.grad(loss, w)[0].abs().max() < 1e-9
    standardised = f.phi(torch.cat([chosen, rejected]))
    assert torch.allclose(standardised.mean(0), torch.zeros(len(w), dtype=torch.float64), atol=1e-9)
    assert torch.allclose(standardised.std(0, correction=0), torch.ones(len(w), dtype=torch.float64))


def test_the_fit_finds_the_rule_that_made_the_pairs():
    """Pairs labelled by 2 a + b - 3 a b, a rule that no weighted sum can be, are told apart on other pairs."""
    rule = lambda s: 2 * s[:, 0] + s[:, 1] - 3 * s[:, 0] * s[:, 1]  # noqa: E731

    def labelled(seed):
        first, second = vectors(2, 400, seed), vectors(2, 400, seed + 1)
        better = (rule(first) > rule(second))[:, None]
        return torch.where(better, first, second), torch.where(better, second, first)

    f = rules.fit_preference(*labelled(10), ridge=1e-4)
    chosen, rejected = labelled(20)
    assert (f(chosen) > f(rejected)).double().mean() > 0.97
    for a in (0, 0.5, 1):
        assert (rules.linear(chosen, [a, 1 - a]) > rules.linear(rejected, [a, 1 - a])).double().mean() < 0.9


def test_pairs_that_can_all_be_told_apart_and_constant_scores_stay_finite():
    """Separable pairs have no finite best w without the ridge; a score that never varies has no spread to divide by."""
    chosen = torch.stack([torch.linspace(0.6, 1, 20), torch.full((20,), 0.7)], 1)
    f = rules.fit_preference(chosen, chosen - torch.tensor([0.5, 0.0]))
    assert f.weights.isfinite().all() and (f(chosen) > f(chosen - torch.tensor([0.5, 0.0]))).all()
    assert torch.equal(f.weights, rules.fit_preference(chosen, chosen - torch.tensor([0.5, 0.0])).weights)


def test_equal_sides_teach_nothing_and_cost_log_2():
    """A pair with the same scores on both sides: loss ln 2 whatever f, and no weight of its own."""
    same = vectors(2)
    f = rules.fit_preference(same, same)
    assert f.weights.abs().max() == 0
    loss = rules.preference_function_loss(f(same), f(same))
    assert torch.allclose(loss, torch.full_like(loss, math.log(2)))


@pytest.mark.parametrize("call, said", [
    (lambda s: rules.linear(s, [1.0]), "1 weights for 2 objectives"),
    (lambda s: rules.linear(s, [1.0, -1.0]), "0 or more"),
    (lambda s: rules.linear(s[0], [1.0, 1.0]), "score vectors"),
    (lambda s: rules.gaps(s, [1.0, 1.0, 1.0]), "3 ideals for 2"),
    (lambda s: rules.soft_chebyshev(s, [1.0, 1.0], 0), "tau=0 must be above 0"),
    (lambda s: rules.fit_preference(s, s[:2]), "no pairs"),
    (lambda s: rules.fit_preference(s, s, ridge=0.0), "ridge=0.0 must be above 0"),
])
def test_bad_input_is_refused_in_one_sentence(call, said):
    """What is wrong is said, and no number comes back."""
    with pytest.raises(ValueError, match=said):
        call(vectors(2))


# ---------------------------------------------------------------- judges of several parts


def judge_of(*numbers):
    return lambda prompts, responses: judges.Scores(np.array(numbers, dtype=float))


PROMPTS, RESPONSES = [[{"role": "user", "content": "Which?"}]] * 3, ["one", "one two", ""]


def test_several_judges_become_parts_and_their_rule_the_total():
    """Parts under their names and unchanged, the total made by the rule: what the history and the loop each read."""
    several = judges.Several({"helpfulness": judge_of(0, 1, 2), "fluency": judge_of(4, 2, 0)})
    seen = several(PROMPTS, RESPONSES)
    assert seen.total.tolist() == [2, 1.5, 1]
    combined = judges.Combined(several, lambda parts: 10 * parts["helpfulness"] + parts["fluency"])
    scores = combined(PROMPTS, RESPONSES)
    assert scores.total.tolist() == [4, 12, 20]
    parts = {name: part.tolist() for name, part in scores.parts.items()}
    assert parts == {"helpfulness": [0, 1, 2], "fluency": [4, 2, 0]}


def test_scores_on_the_scale_of_a_probability():
    """The logistic function by its formula, without overflow; brevity falls with words, from 1 for none."""
    squashed = judges.Probability(judges.Several({"a": judge_of(-1e6, 0.3, 1e6)}))
    assert squashed(PROMPTS, RESPONSES).total.tolist() == pytest.approx([0, 1 / (1 + math.exp(-0.3)), 1])
    assert judges.Brevity(10)(PROMPTS, RESPONSES).total.tolist() == pytest.approx([math.exp(-0.1), math.exp(-0.2), 1])


@pytest.mark.parametrize("make, said", [
    (lambda: judges.Several({}), "no judge"),
    (lambda: judges.Combined(judge_of(1, 2, 3), lambda parts: 0)(PROMPTS, RESPONSES), "without parts"),
    (lambda: judges.Brevity()(PROMPTS, ["one"]), "one response per prompt"),
])
def test_judges_that_cannot_be_combined_are_refused(make, said):
    """One clear sentence, before any training."""
    with pytest.raises(ValueError, match=said):
        make()


# ---------------------------------------------------------------- the recipe


TINY = dict(steps=2, batch_size=2, samples=2, prompts=4, max_response_tokens=8, sft=False)


@pytest.mark.parametrize("more", [
    {"combine": "weighted_gaps", "baseline": "none"}, {"combine": "chebyshev", "weights": "1,1,1,1", "kl_weight": 0.1},
    {"combine": "learned", "pairs": 8},
])
def test_the_recipe_trains_on_the_gold_judge_s_parts_and_comes_back_from_the_cache(more, tokenizer, model, tmp_path):
    """The reward in the history is the rule's, of the parts in the history; a second call trains nothing."""
    models.save_checkpoint(model, tokenizer, tmp_path / "model")
    given = {**TINY, **more, "model": str(tmp_path / "model")}
    row = methods.multi_objective.recipe(**given).history.rows[0]
    assert {"reward_helpfulness", "reward_honesty", "spread_fluency"} <= set(row)
    if more["combine"] == "weighted_gaps":
        mean_gap = 0.5 * (1 - row["reward_helpfulness"]) + 0.5 * (1 - row["reward_fluency"])
        assert row["reward"] == pytest.approx(-mean_gap, abs=1e-6)
    assert methods.multi_objective.recipe(**given).history.rows[0] == row


@pytest.fixture(scope="module")
def helpfulness(tokenizer, tmp_path_factory):
    """A folder with a small reward model."""
    folder = tmp_path_factory.mktemp("helpfulness")
    reward = models.reward_model_from(random_model(tokenizer), tokenizer)
    models.save_checkpoint(reward, tokenizer, folder)
    return str(folder)


def test_two_reward_models_are_the_objectives_as_in_the_paper(helpfulness):
    """Both scores are probabilities under their names; a second model that is not given leaves brevity, and says so."""
    p = parameters.check({"helpfulness_model": helpfulness, "fluency_model": helpfulness}, methods.multi_objective.Settings)
    scores = methods.multi_objective.parts_judge(p)(PROMPTS, RESPONSES)
    assert list(scores.parts) == ["helpfulness", "fluency"]
    assert all(((0 < part) & (part < 1)).all() for part in scores.parts.values())


def test_without_a_fluency_model_brevity_stands_in_for_it(helpfulness, capsys):
    """One clear sentence says what the second objective is then."""
    p = parameters.check({"helpfulness_model": helpfulness}, methods.multi_objective.Settings)
    assert list(methods.multi_objective.parts_judge(p)(PROMPTS, RESPONSES).parts) == ["helpfulness", "brevity"]
    assert "brevity" in capsys.readouterr().out


def test_more_weights_than_objectives_are_refused():
    """Guards against a weight that silently belongs to nothing."""
    p = parameters.check({"weights": "1,1,1,1,1"}, methods.multi_objective.Settings)
    with pytest.raises(ValueError, match="5 weights, but the judge has 4 objectives"):
        methods.multi_objective.combiner(p, None)(judges.GoldJudge()(PROMPTS, RESPONSES).parts)
