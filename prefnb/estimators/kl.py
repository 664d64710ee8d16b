"""KL(policy || reference), estimated on the policy's own samples, and as a penalty.

Both estimators average to the same KL over samples y ~ policy (Schulman 2020, "Approximating KL divergence").
With r_t = log ref(y_t | x, y_<t) - log pi(y_t | x, y_<t):

    k1 = sum_t -r_t                    the log-ratio itself; noisy, and negative for many a sample
    k3 = sum_t (exp(r_t) - 1 - r_t)    never negative, and far less noisy while the two models are close

They read the response "sample" and no other: a log-ratio averaged over a data set's responses is not a KL.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch

from prefnb.estimators.score_function import score_function


@torch.no_grad()
def kl_k1(policy: SimpleNamespace, reference: SimpleNamespace) -> torch.Tensor:
    """The k1 estimate from each sample, in nats, (batch,)."""
    return policy.sample.sum - reference.sample.sum


@torch.no_grad()
def kl_k3(policy: SimpleNamespace, reference: SimpleNamespace) -> torch.Tensor:
    """The k3 estimate from each sample, summed over its tokens, in nats, (batch,); never negative."""
    r = reference.sample.token - policy.sample.token
    return (torch.expm1(r) - r).sum(-1)  # near 0 this is r^2 / 2, which exp(r) - 1 - r loses to rounding


def sampled_kl(
    policy: SimpleNamespace, reference: SimpleNamespace, *, weight: float
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """weight * KL(policy || reference), (batch,): its number from k3, its gradient from the score function.

    Each for what it does well. grad E[log pi - log ref] = E[(log pi - log ref) grad log pi], because the
    other half of the product rule, E[grad log pi], is 0: so k1 is what a sample costs. Differentiating k3
    through would give -(ref / pi) grad log pi for each token, whose average is the gradient of the *forward*
    KL(ref || pi) of each next token: another divergence.
    Metrics: kl_k1, kl_k3 (nats, without the weight).
    """
    k1, k3 = kl_k1(policy, reference), kl_k3(policy, reference)
    return weight * score_function(k1, policy.sample.sum, value=k3), {"kl_k1": k1, "kl_k3": k3}
