"""REINFORCE, RLOO and GRPO: advantages by hand, gradients against exact expectations, losses against other libraries."""

from collections import defaultdict
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from toy_policy import (
    RESPONSES,
    expected_gradient,
    finite_differences,
    gradcheck,
    probabilities,
    random_responses,
    samples,
)

from prefnb.logprobs import ResponseLogprobs, from_tokens
from prefnb.estimators.groups import dead_groups
from prefnb.methods.grpo import group_relative, grpo
from prefnb.methods.rloo import leave_one_out, plain, reinforce

REWARDS = torch.tensor([0.3, -1.0, 2.0, 0.5, 1.5, -0.7, 0.1], dtype=torch.float64)  # of the seven responses


@pytest.fixture
def logits():
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def group(*rewards):
    return torch.tensor([rewards], dtype=torch.float64)


# --- advantages


def test_leave_one_out_by_hand():
    """Guards a baseline that holds the sample's own reward: of 1, 2, 3, 6 the others' means are 11/3, 10/3, 3, 2."""
    expected = group(1 - 11 / 3, 2 - 10 / 3, 0, 4)
    assert torch.allclose(leave_one_out(group(1, 2, 3, 6)), expected)


def test_group_relative_by_hand():
    """1, 2, 3, 6 have mean 3 and standard deviation sqrt(14 / 3) (n - 1 in the denominator)."""
    centred = group(-2, -1, 0, 3)
    assert torch.allclose(group_relative(group(1, 2, 3, 6), eps=0), centred / (14 / 3) ** 0.5)
    assert torch.equal(group_relative(group(1, 2, 3, 6), scale_rewards="none"), centred)


def test_the_batch_s_deviation_is_one_for_all_groups():
    """Guards scale_rewards="batch": an easy and a hard group keep their own sizes."""
    rewards = torch.tensor([[0.0, 1.0], [0.0, 10.0]])
    found = group_relative(rewards, scale_rewards="batch", eps=0)
    assert torch.allclose(found, torch.tensor([[-0.5, 0.5], [-5.0, 5.0]]) / rewards.std())


def test_groups_are_not_mixed():
    """Guards a baseline taken over the batch: a group's advantages do not know of another group."""
    both = torch.tensor([[1.0, 3.0], [10.0, 30.0]])
    for advantages in (leave_one_out, group_relative):
        assert torch.equal(advantages(both)[:1], advantages(both[:1]))


@pytest.mark.parametrize("reward", [0.0, 0.1, 1e6])  # 0.1 is no exact float: its mean may differ from it by a hair
@pytest.mark.parametrize("advantages", [leave_one_out, group_relative, partial(group_relative, scale_rewards="batch")])
def test_equal_rewards_teach_nothing(advantages, reward):
    """0 / 0: equal rewards must give advantages of 0, not NaN, and not rounding errors divided by a tiny deviation."""
    for k in (2, 7):
        rewards = torch.full((3, k), reward)
        assert advantages(rewards).abs().max() <= 1e-6 * max(reward, 1)
        assert dead_groups(rewards).all()


def test_only_groups_without_any_difference_are_dead():
    """Guards the count of groups that teach nothing."""
    assert dead_groups(torch.tensor([[1.0, 1.0], [1.0, 2.0]])).tolist() == [True, False]


@pytest.mark.parametrize("advantages", [leave_one_out, group_relative])
def test_one_sample_is_no_group(advantages):
    """K = 1 has nothing to be compared with; a division by 0 would say so less clearly."""
    with pytest.raises(ValueError, match="K of at least 2"):
        advantages(torch.ones(4, 1))


def test_a_mistyped_option_is_named():
    """Guards against a default in place of what was asked for."""
    with pytest.raises(ValueError, match="'group', 'batch', 'none'"):
        group_relative(torch.eye(2), scale_rewards="std")
    policy = from_tokens(sample=[[-1.0]])
    with pytest.raises(ValueError, match="'sequence', 'token', 'constant'"):
        grpo(policy, advantage=torch.ones(1), loss_type="grpo")
    with pytest.raises(ValueError, match="max_length"):
        grpo(policy, advantage=torch.ones(1), loss_type="constant")


# --- losses


def loss_with(advantages, objective):
    """For `expected_gradient`: a group of two samples, their rewards, advantages and loss."""

    def loss_of_batch(responses, leaf):
        rewards = torch.stack([REWARDS[RESPONSES.index(y)] for y in responses])[None]
        return objective(samples(leaf, responses), advantage=advantages(rewards).flatten())[0]

    return loss_of_batch


@pytest.mark.parametrize("advantages", [plain, leave_one_out])
def test_the_estimated_gradient_is_that_of_the_expected_reward(logits, advantages):
    """The estimator's exact expectation against finite differences of -E[R]: guards signs, and biased baselines."""
    exact = finite_differences(lambda at: float(-(probabilities(at) * REWARDS).sum()), logits)
    found = expected_gradient(loss_with(advantages, reinforce), logits)
    assert torch.allclose(found, exact, atol=1e-8)


def test_a_mean_over_all_samples_shrinks_the_gradient(logits):
    """With the own reward in the baseline the expectation is (K - 1) / K of the gradient: half of it for two."""
    exact = finite_differences(lambda at: float(-(probabilities(at) * REWARDS).sum()), logits)
    mean_of_all = partial(group_relative, scale_rewards="none")
    assert torch.allclose(expected_gradient(loss_with(mean_of_all, reinforce), logits), exact / 2, atol=1e-8)


def test_the_kl_term_adds_the_kl_s_gradient(logits):
    """reinforce with a weight descends -E[R] + weight * KL, by finite differences of both sums."""
    other = torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q = probabilities(other)
    objective = lambda at: float((probabilities(at) * (-REWARDS + 0.3 * (probabilities(at) / q).log())).sum())  # noqa: E731

    def loss_of_batch(responses, leaf):
        rewards = torch.stack([REWARDS[RESPONSES.index(y)] for y in responses])[None]
        advantage = leave_one_out(rewards).flatten()
        return reinforce(samples(leaf, responses), samples(other, responses), advantage=advantage, kl_weight=0.3)[0]

    assert torch.allclose(expected_gradient(loss_of_batch, logits), finite_differences(objective, logits), atol=1e-7)


@pytest.mark.parametrize("loss_type", ["sequence", "token", "constant"])
def test_grpo_s_gradient_is_its_loss_s(loss_type):
    """Finite differences of the whole loss, clip and KL included."""
    policy, old = random_responses(["sample"], 0), random_responses(["sample"], 0)
    reference = random_responses(["sample"], 0)
    noise = lambda seed: 0.3 * torch.randn(4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)  # noqa: E731
    mask = policy.sample.mask
    old = (old.sample.token + noise(1) * mask).detach()
    reference.sample = ResponseLogprobs((reference.sample.token + noise(2) * mask).detach(), mask)
    settings = dict(advantage=torch.tensor([1.0, -1.0, 0.5, -2.0]), old=old, kl_weight=0.1, max_length=9)
    assert gradcheck(lambda p: grpo(p, reference, loss_type=loss_type, **settings), policy)


def test_without_a_step_between_grpo_is_the_score_function():
    """old=None: ratio 1, nothing clipped, and the gradient of every token is -A, whatever the clip."""
    policy = random_responses(["sample"], 3)
    advantage = torch.tensor([1.0, -1.0, 0.5, -2.0], dtype=torch.float64)
    loss, metrics = grpo(policy, advantage=advantage, loss_type="token", clip=0.01)
    (gradient,) = torch.autograd.grad(loss.sum(), [policy.sample.token])
    assert torch.allclose(gradient, -advantage[:, None] * policy.sample.mask)
    assert metrics["clipped"].sum() == 0


def test_the_clip_holds_only_what_has_gone_far_enough():
    """Ratio 1.5 is held for A > 0 and free to come back for A < 0; ratio 0.5 the other way round."""
    token = torch.tensor([[1.5], [1.5], [0.5], [0.5]]).log().requires_grad_()
    policy = SimpleNamespace(sample=ResponseLogprobs(token, torch.ones(4, 1, dtype=torch.bool)))
    loss, metrics = grpo(policy, advantage=torch.tensor([1.0, -1.0, 1.0, -1.0]), old=torch.zeros(4, 1))
    (gradient,) = torch.autograd.grad(loss.sum(), [token])
    assert metrics["clipped"].tolist() == [1, 0, 0, 1]
    assert (gradient[:, 0] == 0).tolist() == [True, False, False, True]


def test_what_each_denominator_does_to_a_long_answer():
    """One token of a 4-token answer weighs 1/4, 1 or 1/10; of a 1-token answer 1, 1 or 1/10."""
    for loss_type, weights in (("sequence", (0.25, 1.0)), ("token", (1.0, 1.0)), ("constant", (0.1, 0.1))):
        token = torch.full((2, 4), -1.0).requires_grad_()
        mask = torch.tensor([[True] * 4, [True] + [False] * 3])
        policy = SimpleNamespace(sample=ResponseLogprobs(token, mask))
        loss, _ = grpo(policy, advantage=torch.ones(2), loss_type=loss_type, max_length=10)
        (gradient,) = torch.autograd.grad(loss.sum(), [token])
        assert -gradient[:, 0] == pytest.approx(torch.tensor(weights))


def test_one_token_and_empty_answers_give_no_nan():
    """Guards every division by a length: one-token responses, and one that has no token at all."""
    mask = torch.tensor([[True], [False]])
    policy = SimpleNamespace(sample=ResponseLogprobs(torch.tensor([[-0.5], [0.0]]), mask))
    for objective in (reinforce, *(partial(grpo, loss_type=kind, max_length=3) for kind in ("sequence", "token", "constant"))):
        loss, metrics = objective(policy, policy, advantage=torch.tensor([1.0, -1.0]), kl_weight=0.1)
        assert loss.isfinite().all() and all(value.isfinite().all() for value in metrics.values())


@pytest.mark.parametrize("ours, theirs", [("sequence", "grpo"), ("token", "bnpo"), ("constant", "dr_grpo")])
def test_grpo_is_liger_s(ours, theirs):
    """Another library's value and gradient, for every denominator, with old log-probs, clip and KL."""
    liger = pytest.importorskip("liger_kernel.chunked_loss.grpo_loss").LigerFusedLinearGRPOLoss
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, 11, generator=generator).requires_grad_()
    chosen = torch.randint(11, (6, 5), generator=generator)
    mask = torch.arange(5) < torch.tensor([[5], [1], [3], [2], [5], [4]])
    advantage, spread = torch.randn(6, generator=generator), lambda: 0.3 * torch.randn(6, 5, generator=generator)
    token = logits.log_softmax(-1).gather(2, chosen[..., None])[..., 0]
    old, reference = (token + spread()).detach() * mask, (token + spread()).detach() * mask
    loss, _ = grpo(
        SimpleNamespace(sample=ResponseLogprobs(token * mask, mask)),
        SimpleNamespace(sample=ResponseLogprobs(reference, mask)),
        advantage=advantage,
        old=old,
        kl_weight=0.07,
        loss_type=ours,
        max_length=8,
    )
    loss = loss.sum() / mask.sum() if ours == "token" else loss.mean()
    function = liger(beta=0.07, compiled=False, loss_type=theirs, max_completion_length=8)
    expected = function(logits, torch.eye(11), chosen, mask.float(), advantage, None, reference, old)[0]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    found, known = (torch.autograd.grad(value, [logits], retain_graph=True)[0] for value in (loss, expected))
    assert torch.allclose(found, known, atol=1e-6)


def test_reinforce_has_trl_s_gradient():
    """TRL's RLOO takes the same step from freshly drawn samples; its number is another, since it starts from ratios."""
    trainer = pytest.importorskip("trl.trainer.rloo_trainer").RLOOTrainer
    policy, advantage = random_responses(["sample"], 4, dtype=torch.float32), torch.tensor([1.0, -1.0, 0.5, -2.0])
    token, mask = policy.sample.token, policy.sample.mask
    stub = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (token, token.detach(), None),
        aux_loss_enabled=False,
        epsilon_low=0.2,
        epsilon_high=0.2,
        model=SimpleNamespace(training=True),
        _metrics={"train": defaultdict(list)},
        accelerator=SimpleNamespace(reduce=lambda value, reduction: value, gather=lambda value: value),
    )
    inputs = dict(
        prompt_ids=torch.zeros(4, 1),
        prompt_mask=torch.ones(4, 1),
        completion_ids=torch.zeros(4, 5),
        completion_mask=mask.float(),
        old_logps=token.detach().sum(1),
        advantages=advantage,
    )
    theirs = trainer._compute_loss(stub, stub.model, inputs)
    ours = reinforce(policy, advantage=advantage)[0].mean()
    found, known = (torch.autograd.grad(value, [token])[0] for value in (ours, theirs))
    assert torch.allclose(found * mask, known * mask, atol=1e-6) and known.abs().sum() > 0
