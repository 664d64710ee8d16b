"""Losses on scores: of a reward model, where a preference is a difference of scores (Bradley and Terry 1952; Ouyang et
al. 2022), and of a classifier with two classes."""

from __future__ import annotations

from torch.nn.functional import logsigmoid


def bradley_terry(policy, reference=None):
    """-log sigma(s(yw) - s(yl)), the model being that P(yw beats yl) = sigma(s(yw) - s(yl)); (batch,).

    Unlike elsewhere, `policy.chosen` and `policy.rejected` are not log-probs but SCORES, one number per response,
    (batch,) each, as `prefnb.logprobs.RewardScorer` gives them. There is no reference. Only differences matter: a
    constant added to all scores of a prompt changes nothing, so scores of different prompts cannot be compared.
    Metrics: margin (s(yw) - s(yl)), accuracy (1 where the margin is positive), score_chosen and score_rejected.
    """
    margin = policy.chosen - policy.rejected
    metrics = {
        "margin": margin,
        "accuracy": (margin > 0).to(margin.dtype),
        "score_chosen": policy.chosen,
        "score_rejected": policy.rejected,
    }
    return -logsigmoid(margin), {name: value.detach() for name, value in metrics.items()}


def two_classes(policy, reference=None, *, label):
    """Cross-entropy of a classifier with a good and a bad class: -log sigma(s) where `label` is 1 (good), -log sigma(-s)
    where it is 0 (bad); (batch,).

    `policy.response` is the log-odds s = log P(good) / P(bad), the difference of the two outputs, as
    `prefnb.logprobs.RewardScorer` gives it: P(good) = sigma(s). Unlike in a comparison, 0 means something.
    Metrics: accuracy (1 where s has the label's sign) and score (s).
    """
    sign = 2 * label - 1
    metrics = {"accuracy": (sign * policy.response > 0).to(policy.response.dtype), "score": policy.response}
    return -logsigmoid(sign * policy.response), {name: value.detach() for name, value in metrics.items()}
