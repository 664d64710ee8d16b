"""KL estimators and the sampled KL penalty, against a policy whose KL is a sum of seven terms."""

import pytest
import torch
from toy_policy import RESPONSES, expected_gradient, finite_differences, probabilities, samples

from prefnb.logprobs import from_tokens
from prefnb.estimators.kl import kl_k1, kl_k3, sampled_kl


@pytest.fixture
def logits():
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def reference_logits():
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def exact_kl(logits, reference_logits):
    p, q = probabilities(logits), probabilities(reference_logits)
    return float((p * (p / q).log()).sum())


def test_k1_and_k3_by_hand():
    """Guards the sign: the policy gives 2/3 and 1/2 where the reference gives 1/3 and 1/2.

    k1 = ln(2/3) - ln(1/3) = ln 2, the second token adding 0. k3 = (1/2 - 1 - ln(1/2)) + 0 = ln 2 - 1/2.
    With the models swapped: k1 = -ln 2 and k3 = 2 - 1 - ln 2 = 1 - ln 2.
    """
    a = from_tokens(sample=[torch.tensor([2 / 3, 1 / 2]).log()])
    b = from_tokens(sample=[torch.tensor([1 / 3, 1 / 2]).log()])
    ln2 = 0.6931472
    assert kl_k1(a, b).item() == pytest.approx(ln2) and kl_k3(a, b).item() == pytest.approx(ln2 - 0.5)
    assert kl_k1(b, a).item() == pytest.approx(-ln2) and kl_k3(b, a).item() == pytest.approx(1 - ln2)


@pytest.mark.parametrize("estimator", [kl_k1, kl_k3])
def test_both_estimators_average_to_the_exact_kl(estimator, logits, reference_logits):
    """Guards unbiasedness, and with it which of the two models the samples must come from."""
    estimates = estimator(samples(logits), samples(reference_logits))
    assert not estimates.requires_grad
    exact = exact_kl(logits, reference_logits)
    assert (probabilities(logits) * estimates).sum().item() == pytest.approx(exact)
    assert exact_kl(reference_logits, logits) != pytest.approx(exact, rel=0.01)  # so that a swap would show


def test_k3_is_never_negative_and_keeps_its_precision_near_zero():
    """Guards expm1: for log-ratios of 1e-4 k3 is r^2 / 2, which float32's exp(r) - 1 - r cannot see."""
    r = torch.cat([torch.logspace(-12, 1, 2_000), -torch.logspace(-12, 1, 2_000)]).float()[:, None]
    k3 = kl_k3(from_tokens(sample=torch.zeros_like(r)), from_tokens(sample=r))
    assert (k3 >= 0).all()
    exact = torch.expm1(r.double()) - r.double()
    fine = r.abs() > 1e-3
    assert torch.allclose(k3[fine[:, 0]].double(), exact[fine], rtol=1e-3)
    near = kl_k3(from_tokens(sample=[[-2.0]]), from_tokens(sample=[[-2.0 + 2.0**-12]]))
    assert near.item() == pytest.approx(0.5 * 2.0**-24, rel=1e-3)


def test_k3_agrees_with_liger():
    """Guards the argument order against another library's k3."""
    grpo_loss = pytest.importorskip("liger_kernel.chunked_loss.grpo_loss")
    policy, reference = (-torch.rand(5, 1, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    theirs = grpo_loss.k3_loss_fn(reference, policy)[:, 0]
    assert torch.allclose(kl_k3(from_tokens(sample=policy), from_tokens(sample=reference)), theirs, atol=1e-6)


def test_padding_adds_nothing_to_a_kl():
    """Guards the mask: a short sample's estimate does not depend on the length of the sample beside it."""
    def estimates(*rows):
        policy, reference = from_tokens(sample=[[-1.0], *rows]), from_tokens(sample=[[-1.5], *rows])
        return [estimator(policy, reference)[0] for estimator in (kl_k1, kl_k3)]

    assert estimates() == estimates([-3.0, -2.0, -1.0])


def test_sampled_kl_s_gradient_is_the_exact_reverse_kl_s(logits, reference_logits):
    """Guards the estimator, baseline included: its mean over all batches is the gradient of weight * KL."""
    def loss(responses, logits):
        return sampled_kl(samples(logits, responses), samples(reference_logits, responses), weight=0.3)[0]

    exact = finite_differences(lambda logits: 0.3 * exact_kl(logits, reference_logits), logits)
    assert torch.allclose(expected_gradient(loss, logits), exact, atol=1e-8)


def test_k3_differentiated_through_has_another_gradient(logits, reference_logits):
    """Guards the docstring: it is the forward KL's of each next token (here the first; the rest agree)."""
    reference_logits[1:] = logits[1:]
    leaf = logits.clone().requires_grad_()
    r = samples(reference_logits).sample.token - samples(leaf).sample.token
    direct = torch.autograd.grad((probabilities(logits) * (r.expm1() - r).sum(-1)).sum(), leaf)[0]
    forward = finite_differences(lambda logits: exact_kl(reference_logits, logits), logits)
    reverse = finite_differences(lambda logits: exact_kl(logits, reference_logits), logits)
    assert torch.allclose(direct, forward, atol=1e-8)
    assert not torch.allclose(direct, reverse, atol=1e-2)


def test_sampled_kl_is_zero_where_policy_and_reference_agree(logits):
    """Guards step 0: no KL, and exactly no gradient."""
    leaf = logits.requires_grad_()
    loss, metrics = sampled_kl(samples(leaf), samples(leaf.detach()), weight=1.0)
    assert (loss == 0).all() and all((metric == 0).all() for metric in metrics.values())
    assert (torch.autograd.grad(loss.sum(), leaf)[0] == 0).all()


def test_sampled_kl_reports_k3_times_the_weight(logits, reference_logits):
    """Guards the number that is plotted: the low-noise, never negative estimate."""
    policy, reference = samples(logits.requires_grad_()), samples(reference_logits)
    loss, metrics = sampled_kl(policy, reference, weight=0.5)
    assert torch.allclose(loss, 0.5 * kl_k3(policy, reference)) and loss.shape == (len(RESPONSES),)
    assert torch.equal(metrics["kl_k1"], kl_k1(policy, reference))
    assert torch.equal(metrics["kl_k3"], kl_k3(policy, reference))
