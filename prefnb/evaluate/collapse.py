"""Collapse: has a policy stopped answering, whatever its loss says?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from prefnb.evaluate.intervals import Interval
from prefnb.evaluate.texts import distinct_n, finished_share, mean_length

# What counts as collapse. They are wide on purpose: a policy that is merely worse does not trip them.
LENGTH_RATIO = (0.4, 2.5)  # mean tokens, against the baseline's
DISTINCT_RATIO = (0.5, 2.0)  # distinct-2 against the baseline's: below, it repeats itself; above, word salad
UNFINISHED = 0.5  # share of samples that never end ...
UNFINISHED_RISE = 0.25  # ... and so much above the baseline's
KL_PER_TOKEN = 1.0  # nats: on average, each token e times as likely as under the reference


@dataclass(frozen=True)
class Collapse:
    """The verdict on a policy's samples, with its reasons as phrases and what was measured."""

    collapsed: bool
    reasons: list[str]
    measures: dict[str, float]

    def __str__(self) -> str:
        if self.collapsed:
            return "This policy has collapsed: " + "; ".join(self.reasons) + "."
        m = self.measures
        return (
            f"No sign of collapse: mean length {m['length_ratio']:.2f} and "
            f"distinct-2 {m['distinct_ratio']:.2f} times the baseline's, "
            f"{m['unfinished']:.0%} of samples never end"
            + (f", KL {m['kl_per_token']:.2f} nats per token." if "kl_per_token" in m else ".")
        )


def collapse_check(
    samples: Sequence, baseline_samples: Sequence, kl: dict[str, float | Interval] | float | None = None
) -> Collapse:
    """Has a policy stopped answering? Compares its samples with a baseline's on the same prompts.

    samples, baseline_samples: lists of `sampling.Sample`, equally many, one or K for each prompt. kl: what `kl()`
    returned for the policy against the baseline, or a number in nats per response. Thresholds: the constants above.
    """
    if len(samples) != len(baseline_samples):
        raise ValueError(f"There are {len(samples)} samples and {len(baseline_samples)} of the baseline; give as many.")
    length, unfinished, before = mean_length(samples), 1 - finished_share(samples), 1 - finished_share(baseline_samples)
    measures = {
        "length_ratio": length / max(mean_length(baseline_samples), 1e-9),
        "distinct_ratio": distinct_n(samples) / max(distinct_n(baseline_samples), 1e-9),
        "unfinished": unfinished,
        "baseline_unfinished": before,
    }
    if kl is not None:
        measures["kl_per_token"] = kl["per_token"] if isinstance(kl, dict) else kl / max(length, 1.0)

    reasons = []
    if not LENGTH_RATIO[0] <= measures["length_ratio"] <= LENGTH_RATIO[1]:
        reasons.append(f"its responses are {measures['length_ratio']:.2f} times as long as the baseline's")
    times = f"(distinct-2 {measures['distinct_ratio']:.2f} times the baseline's)"
    if measures["distinct_ratio"] < DISTINCT_RATIO[0]:
        reasons.append(f"it repeats itself {times}")
    if measures["distinct_ratio"] > DISTINCT_RATIO[1]:
        reasons.append(f"it writes word salad {times}")
    if unfinished > max(UNFINISHED, before + UNFINISHED_RISE):
        reasons.append(f"{unfinished:.0%} of its responses never end (baseline {before:.0%})")
    if measures.get("kl_per_token", 0.0) > KL_PER_TOKEN:
        reasons.append(f"its KL from the reference is {measures['kl_per_token']:.2f} nats per token")
    return Collapse(bool(reasons), reasons, measures)
