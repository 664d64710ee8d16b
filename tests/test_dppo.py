"""DPPO: three penalties, four weights, three normalisations, two levels."""

import math
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from toy_policy import gradcheck, random_responses, tokens_of

from prefnb.logprobs import ResponseLogprobs, from_tokens
from prefnb.methods.dpo import dpo
from prefnb.methods.dppo import (LEVELS, NORMALIZATIONS, PENALTIES, WEIGHTS, dppo, log1mexp, log_otherwise,
                                    vote, weight_of)

ROLES = ("chosen", "rejected", "generated")

# Two pairs by hand, beta 1/2. Pair 1: S = -6 (3 tokens) against -2 (2), S_ref = -5 against -1: both d are -1,
# the margin is 0. It votes for the rejected one, with r = tanh(-2 - -1) per token. Pair 2: the two swapped.
# ygen: pi = 1/2 * 1/4, S = -ln 8; in the reference 1/2 * 1/2, S_ref = -ln 4: d = -ln 2.
POLICY = from_tokens(chosen=[[-2.0, -2.0, -2.0], [-1.0, -1.0]], rejected=[[-1.0, -1.0], [-2.0, -2.0, -2.0]],
                     generated=[[math.log(1 / 2), math.log(1 / 4)]] * 2)
REFERENCE = from_tokens(chosen=[[-2.0, -2.0, -1.0], [-1.0, 0.0]], rejected=[[-1.0, 0.0], [-2.0, -2.0, -1.0]],
                        generated=[[math.log(1 / 2), math.log(1 / 2)]] * 2)
LN2, R = math.log(2), math.tanh(-1.0)


def gradients(loss, policy):
    return torch.autograd.grad(loss.sum(), tokens_of(policy), allow_unused=True)


@pytest.mark.parametrize("penalty, level, added", [
    ("minimum_likelihood", "token", 3.0 * -R * -math.log(8)),                    # alpha f log pi(ygen)
    ("unlikelihood", "token", 3.0 * -R * -(math.log(1 / 2) + math.log(3 / 4))),  # -alpha f sum log(1 - pi_t)
    ("unlikelihood", "sequence", 3.0 * -R * -math.log(7 / 8)),                   # -alpha f log(1 - 1/8)
    # -log sigma(0 - alpha beta f d(ygen)), with d(ygen) = -ln 2: the margin rises as ygen falls
    ("contrastive", "token", math.log1p(math.exp(-3.0 * 0.5 * -R * LN2)) - LN2),
])
def test_penalties_by_hand(penalty, level, added):
    """Guards each equation's sign: pair 1 votes for the loser, f = tanh(1); pair 2 does not: plain DPO."""
    loss, metrics = dppo(POLICY, REFERENCE, alpha=3.0, beta=0.5, penalty=penalty, level=level)
    assert loss.tolist() == pytest.approx([LN2 + added, LN2])
    assert metrics["penalty"].tolist() == pytest.approx([added, 0.0], abs=1e-6)
    assert metrics["vote"].tolist() == [1.0, 0.0] and metrics["weight"].tolist() == pytest.approx([-R, 0.0])
    assert metrics["logp_generated"].tolist() == pytest.approx([-math.log(8)] * 2)
    plain = dpo(POLICY, REFERENCE, beta=0.5)[1]
    assert all(torch.equal(metrics[name], plain[name]) for name in plain)


@pytest.mark.parametrize("form, zeta, expected", [  # f(-1/4), f(0), f(1/2)
    ("linear", 0.5, [1 / 4, 0, 0]),
    ("quadratic", 0.5, [1 / 16, 0, 0]),
    ("square_root", 0.5, [1 / 2, 0, 0]),
    ("expectile", 0.0, [1 / 16, 0, 0]),        # zeta = 0 is quadratic
    ("expectile", 0.5, [1 / 32, 0, -1 / 8]),   # symmetric: (1 - 1/2) / 16, -1/2 / 4
    ("expectile", 0.1, [0.9 / 16, 0, -0.1 / 4]),
])
def test_weights_by_hand(form, zeta, expected):
    """Guards eq. 7: signs, and the square root of a positive r, which must be 0 and not NaN."""
    assert weight_of(torch.tensor([-0.25, 0.0, 0.5]), form, zeta).tolist() == pytest.approx(expected)


def test_expectile_rewards_the_generated_response_for_a_right_vote():
    """Guards what the report says of r > 0: with the expectile, and only with it, ygen is raised."""
    for weight, direction in {"expectile": -1.0, "linear": 0.0}.items():
        generated = torch.tensor([-1.0], requires_grad=True)
        policy = from_tokens(chosen=[[-1.0]], rejected=[[-2.0]], generated=[generated])
        loss, _ = dppo(policy, policy, alpha=1.0, beta=0.5, weight=weight)
        assert torch.autograd.grad(loss.sum(), policy.generated.token)[0].sign().item() == direction


def test_normalisations_by_hand():
    """Guards r itself: sums -6 and -2 over 3 and 2 tokens; the largest |log-ratio| of the batch is 8."""
    policy = from_tokens(chosen=[[-2.0, -2.0, -2.0], [-1.0]], rejected=[[-1.0, -1.0], [-9.0]])
    expected = {"tanh_mean": [math.tanh(-1), math.tanh(8)], "tanh": [math.tanh(-4), math.tanh(8)],
                "batch_max": [-0.5, 1.0]}
    assert set(expected) == set(NORMALIZATIONS)
    for name, values in expected.items():
        assert vote(policy, name).tolist() == pytest.approx(values)


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_votes_lie_in_minus_one_to_one_without_gradient_or_nan(normalize):
    """Guards the range, the stop-gradient, and 0/0 where every log-ratio of the batch is 0."""
    r = vote(random_responses(ROLES, seed=0, batch=64), normalize)
    assert not r.requires_grad and r.abs().max() <= 1 and r.min() < 0 < r.max()
    assert vote(from_tokens(chosen=[[-1.0]], rejected=[[-1.0]]), normalize).tolist() == [0.0]


def test_the_default_vote_does_not_depend_on_the_rest_of_the_batch():
    """Guards the promise of the default; "batch_max" is shown to break it."""
    alone = from_tokens(chosen=[[-2.0]], rejected=[[-1.0]])
    beside = from_tokens(chosen=[[-2.0], [-9.0]], rejected=[[-1.0], [-1.0]])
    assert vote(alone)[0] == vote(beside)[0]
    assert vote(alone, "batch_max")[0] != vote(beside, "batch_max")[0]


def test_tanh_of_the_sum_saturates_and_counts_tokens():
    """Guards the reason for the default: the longer response loses although its tokens are likelier."""
    policy = from_tokens(chosen=[[-0.9] * 40], rejected=[[-1.0] * 20])
    assert vote(policy, "tanh").item() == -1.0
    assert vote(policy).item() == pytest.approx(math.tanh(0.1), rel=1e-4)


# every combination; the level is the unlikelihood's alone
EVERY = [combination for combination in product(PENALTIES, WEIGHTS, LEVELS, NORMALIZATIONS)
         if combination[0] == "unlikelihood" or combination[2] == "token"]


@pytest.mark.parametrize("penalty, weight, level, normalize", EVERY)
def test_alpha_zero_is_dpo_bit_for_bit(penalty, weight, level, normalize):
    """Guards loss and gradients, even where the penalty is infinite (0 * inf would be NaN)."""
    policy, reference = (random_responses(ROLES, seed, dtype=torch.float32) for seed in (0, 1))
    with torch.no_grad():
        policy.generated.token[0, 0] = -math.inf
    loss, metrics = dppo(policy, reference, alpha=0.0, beta=0.3, penalty=penalty, weight=weight, level=level,
                         normalize=normalize)
    plain, _ = dpo(policy, reference, beta=0.3)
    assert torch.equal(loss, plain) and (metrics["penalty"] == 0).all()
    for ours, theirs in zip(gradients(loss, policy), gradients(plain, policy)):
        assert ours is theirs is None or torch.equal(ours, theirs)


def test_alpha_zero_needs_no_generated_response():
    """Guards the notebook's `alpha 0` run, which has no reason to sample anything."""
    policy = random_responses(("chosen", "rejected"), seed=0)
    loss, metrics = dppo(policy, policy, alpha=0, beta=0.3)
    assert torch.equal(loss, dpo(policy, policy, beta=0.3)[0])
    assert "weight" in metrics and "logp_generated" not in metrics


@pytest.mark.parametrize("penalty, weight, level, normalize", EVERY)
def test_gradient_by_finite_differences(penalty, weight, level, normalize):
    """Guards every combination's derivative, with f(r) held at its value: the vote carries no gradient."""
    policy, reference = random_responses(ROLES, seed=0), random_responses(ROLES, seed=1)
    hyperparameters = {"alpha": 0.7, "beta": 0.3, "weight": weight, "level": level, "normalize": normalize}
    f = weight_of(vote(policy, normalize), weight)
    assert (f > 0).any()
    loss, _ = dppo(policy, reference, penalty=penalty, **hyperparameters)

    def frozen(policy):
        return PENALTIES[penalty](policy, reference, f, alpha=0.7, beta=0.3, level=level), {}

    assert torch.equal(frozen(policy)[0], loss) and gradcheck(frozen, policy)
    for ours, theirs in zip(gradients(loss, policy), gradients(frozen(policy)[0], policy)):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_penalty_pushes_the_generated_response_down(penalty):
    """Guards the direction: after a wrong vote the loss rises with every token of ygen, and not otherwise."""
    policy = random_responses(ROLES, seed=0)
    voted = SimpleNamespace(chosen=policy.rejected, rejected=policy.chosen, generated=policy.generated)
    for pair in (policy, voted):
        loss, metrics = dppo(pair, random_responses(ROLES, seed=1), alpha=1.0, beta=0.3, penalty=penalty)
        gradient = torch.autograd.grad(loss.sum(), pair.generated.token)[0]
        wrong = metrics["vote"].bool()[:, None] & pair.generated.mask
        assert wrong.any() and (gradient[wrong] > 0).all()
        assert (gradient[metrics["vote"] == 0] == 0).all()


def test_minimum_likelihood_is_unbounded_below_and_unlikelihood_is_not():
    """Guards the warning: as ygen's log-prob falls, eq. 5 falls without end, eq. 8 to DPO's loss."""
    def losses(logp, penalty):
        policy = from_tokens(chosen=[[-2.0]], rejected=[[-1.0]], generated=[[logp]])
        return dppo(policy, policy, alpha=1.0, beta=0.5, penalty=penalty)[0].item()
    assert losses(-1000.0, "minimum_likelihood") == pytest.approx(LN2 + R * 1000, rel=1e-5)
    assert losses(-1000.0, "unlikelihood") == pytest.approx(LN2)


def test_sequence_level_unlikelihood_has_no_gradient_for_a_long_response_and_token_level_has():
    """Guards the reason for level="token": 40 tokens of probability 1/2 make a response of 1e-12."""
    gradient = {}
    for level in LEVELS:
        generated = from_tokens(generated=[torch.full((40,), -LN2).requires_grad_()]).generated
        value = log_otherwise(generated, level)
        gradient[level] = torch.autograd.grad(value, generated.token)[0].abs().max()
    assert gradient["token"].item() == pytest.approx(1.0)  # p / (1 - p) = 1
    assert gradient["sequence"].item() == pytest.approx(2.0**-40, rel=1e-3)


def test_log1mexp_at_both_ends():
    """Guards log(1 - exp(x)) where a plain float32 formula gives -inf, 0 or NaN, in value and gradient."""
    x = torch.tensor([-1e-4, -0.1, -LN2, -1.0, -20.0, -100.0], requires_grad=True)
    expected = [math.log(-math.expm1(v)) if v > -1 else math.log1p(-math.exp(v)) for v in x.tolist()]
    assert log1mexp(x).tolist() == pytest.approx(expected, rel=1e-6)
    slope = torch.autograd.grad(log1mexp(x).sum(), x)[0]
    assert slope.tolist() == pytest.approx([-1 / math.expm1(-v) for v in x.tolist()], rel=1e-4, abs=1e-30)
    # rounding can make a log-prob positive
    certain = torch.tensor([0.0, 1e-7, -1e-9, -math.inf], requires_grad=True)
    assert log1mexp(certain).isfinite().all()
    assert torch.autograd.grad(log1mexp(certain).sum(), certain)[0].tolist() == [0.0] * 4


def test_log1mexp_is_trl_s():
    """Guards against another library's implementation, away from the clamp."""
    orpo = pytest.importorskip("trl.experimental.orpo.orpo_trainer")
    x = -torch.logspace(-5, 2, 200)
    assert torch.allclose(log1mexp(x), orpo.log1mexp(x))


def test_padding_adds_nothing_to_the_unlikelihood():
    """Guards the mask: a padded token has log-prob 0, a probability of 1, whose log(1 - 1) is -inf."""
    padded = from_tokens(generated=[[-1.0], [-3.0, -2.0, -1.0]]).generated
    alone = from_tokens(generated=[[-1.0]]).generated
    for level in LEVELS:
        assert log_otherwise(padded, level)[0] == log_otherwise(alone, level)[0]


@pytest.mark.parametrize("penalty, weight, level, normalize", EVERY)
def test_a_fully_masked_row_is_not_nan(penalty, weight, level, normalize):
    """Guards loss and gradients against an empty response."""
    masked = torch.zeros(1, 2, dtype=torch.bool)
    policy = SimpleNamespace(**{role: ResponseLogprobs(torch.zeros(1, 2, requires_grad=True), masked)
                                for role in ROLES})
    loss, _ = dppo(policy, policy, alpha=1.0, beta=0.3, penalty=penalty, weight=weight, level=level,
                   normalize=normalize)
    assert loss.isfinite().all()
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients(loss, policy))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_loss_at_step_zero_is_ln_2_plus_the_penalty(penalty):
    """Guards step 0: the DPO part is ln 2, and the contrastive loss all of it, since d(ygen) is 0."""
    policy = random_responses(ROLES, seed=0)
    loss, metrics = dppo(policy, policy, alpha=0.1, beta=0.3, penalty=penalty)
    assert torch.allclose(loss - metrics["penalty"], torch.tensor(2.0).double().log())
    assert (metrics["penalty"] != 0).any() == (penalty != "contrastive")


@pytest.mark.parametrize("parameter", ["penalty", "weight", "level", "normalize"])
def test_unknown_names_are_refused_with_the_known_ones(parameter):
    """Guards against a mistyped name, also where the value would not be used (alpha 0, no unlikelihood)."""
    known = {"penalty": PENALTIES, "weight": WEIGHTS, "level": LEVELS, "normalize": NORMALIZATIONS}[parameter]
    message = f"{parameter}='huber' is not known: choose one of {', '.join(map(repr, known))}."
    with pytest.raises(ValueError, match=message):
        dppo(POLICY, REFERENCE, alpha=0, beta=0.5, **{parameter: "huber"})
