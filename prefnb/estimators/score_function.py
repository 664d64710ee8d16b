"""The score-function (REINFORCE) estimator: the gradient of an average over samples.

A cost of a sampled response (its length, a judge's score) has no derivative with respect to the model's
weights. Its expectation has one, because the weights decide how often each response is drawn:

    grad E[c(y)] = sum_y c(y) grad pi(y) = E[c(y) grad log pi(y)].

Subtracting a baseline from c changes nothing on average, since E[grad log pi(y)] = 0, but it makes the
estimate far less noisy: what costs more than usual becomes less likely, what costs less becomes likelier.
"""

from __future__ import annotations

import torch


def mean_of_others(x: torch.Tensor) -> torch.Tensor:
    """For each entry of x (batch,), the mean of the other entries; 0 where there are none.

    Leaving the entry itself out keeps a baseline independent of its own sample. With the mean of all, the
    estimate would be too small by a factor of 1 - 1/batch.
    """
    return (x.sum() - x) / max(len(x) - 1, 1)


def score_function(cost: torch.Tensor, logp: torch.Tensor, value: torch.Tensor | None = None) -> torch.Tensor:
    """A loss (batch,) whose number is `value` (default: the cost) and whose gradient estimates E[cost]'s.

    cost: (batch,), what each sampled response costs; a gradient of its own is ignored.
    logp: (batch,), S(y) of each sample under the policy that drew it.
    The baseline is the mean cost of the batch's other samples, so which samples share a batch must not depend on what
    they are, such as their length.
    """
    cost = cost.detach()
    advantage = cost - mean_of_others(cost)
    value = cost if value is None else value.detach()
    return value + advantage * (logp - logp.detach())  # the bracket is 0; its gradient is that of log pi(y)
