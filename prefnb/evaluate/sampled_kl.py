"""KL(policy || reference), measured on the policy's own samples."""

from __future__ import annotations

from types import SimpleNamespace

from prefnb.evaluate._numbers import by_prompt
from prefnb.evaluate.intervals import Interval, bootstrap_interval


def kl(policy, reference, seed: int = 0) -> dict[str, float | Interval]:
    """Sampled KL(policy || reference), nats per response: {"k1", "k3", "interval" (of k3), "per_token" (k3)}.

    policy, reference: `logprobs.ResponseLogprobs` of the **policy's own samples** under either model. The samples
    must come from the distribution that `policy` holds the log-probs of: temperature 1 and top_p 1, unless
    the log-probs were taken at the sampling temperature too. On a dataset's responses the same sum is not a
    KL. The estimators are those of `estimators.kl`: both unbiased, and k3 is never negative and less noisy.
    """
    from prefnb.estimators.kl import kl_k1, kl_k3

    mask = policy.mask
    if mask.shape != reference.mask.shape or (mask != reference.mask).any() or not mask.any():
        raise ValueError("A sampled KL needs log-probs of the same non-empty samples under both models.")
    models = SimpleNamespace(sample=policy), SimpleNamespace(sample=reference)
    k1, k3 = (by_prompt(estimate(*models), "sampled KLs")[:, 0] for estimate in (kl_k1, kl_k3))
    return {
        "k1": float(k1.mean()),
        "k3": float(k3.mean()),
        "interval": bootstrap_interval(k3, seed),
        "per_token": float(k3.sum() / int(mask.sum())),
    }
