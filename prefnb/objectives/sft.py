"""Supervised fine-tuning, and the length penalty of paper 003 as printed and as it can work."""

from __future__ import annotations

import torch

from prefnb.objectives.score_function import score_function


def sft(policy, reference=None):
    """-S(response): the negative log-likelihood of the demonstration, in nats, (batch,).

    The sum, not the mean: the training loop divides by the tokens of the whole effective batch, so that every
    token weighs the same however the batch is split. Metrics: logp (S, in nats), length (tokens).
    """
    logp = policy.response.sum
    return -logp, {"logp": logp.detach(), "length": policy.response.length}


def length_penalty_printed(policy, reference=None, *, target_length: torch.Tensor, factor: float):
    """factor * max(0, |sample| - |y|)^2 exactly as printed in paper 003, eq. 3 (factor: its lambda).

    A length is a count: it has no gradient, and neither has this loss (its `requires_grad` is False). Added
    to the SFT loss it changes the number that is logged and nothing else.
    target_length: (batch,), |y|, the length of each prompt's demonstration in tokens.
    Metrics: penalty (this loss), excess (tokens past the demonstration), sample_length (tokens).
    """
    excess = torch.relu(policy.sample.length - target_length)
    cost = factor * excess**2
    return cost, {"penalty": cost, "excess": excess, "sample_length": policy.sample.length}


def length_penalty(policy, reference=None, *, target_length: torch.Tensor, factor: float):
    """The same number as `length_penalty_printed`, with the gradient that eq. 3 should have; (batch,).

    Samples that run over by more than the others of the batch become less likely, the rest likelier (the
    score-function estimator). A sample cut off at a token limit counts with the length it reached.
    """
    cost, metrics = length_penalty_printed(policy, target_length=target_length, factor=factor)
    return score_function(cost, policy.sample.sum), metrics
